from __future__ import annotations

import random
import statistics

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.load.traders import APPETITES, USERS, Traders


def test_one_seed_one_sequence() -> None:
    """Traders with the same seed want the same, and with another seed something else."""
    first, same, other = (
        [traders.next_order() for _ in range(50)]
        for traders in (Traders(random.Random(seed), "r") for seed in (1, 1, 2))
    )
    assert first == same != other


def test_orders_are_mixed_and_can_be_taken() -> None:
    """All users, pairs, sides and types occur; prices are near the market, sizes around their median."""
    orders = [
        order
        for traders in [Traders(random.Random(3), "r")]
        for order in (traders.next_order() for _ in range(3_000))
    ]
    assert {order.user_id for order in orders} == set(USERS)
    assert len({order.client_order_id for order in orders}) == len(orders)
    assert {(order.symbol, order.side, order.type) for order in orders} == {
        (symbol, side, kind)
        for symbol in PAIRS
        for side in Side
        for kind in (OrderType.LIMIT, OrderType.MARKET)
    }
    for symbol, pair in PAIRS.items():
        mine = [order for order in orders if order.symbol == symbol]
        median = statistics.median(float(order.quantity) for order in mine)
        assert 0.8 < median / APPETITES[symbol].median_quantity < 1.25
        for order in mine:
            assert pair.lots(order.quantity) >= 1
            assert order.price is None or 0.9 < order.price / pair.opening_price < 1.1
            assert order.price is None or pair.ticks(order.price) >= 1
