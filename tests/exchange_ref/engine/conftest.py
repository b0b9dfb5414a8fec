from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from exchange_ref.engine.orders import Order, OrderType, SelfTrade, Side, TimeInForce

NewOrder = Callable[..., Order]


@pytest.fixture
def new_order() -> NewOrder:
    """Orders with ids 1, 2, 3 …; a price of 0 is a market order."""
    numbers = count(1)

    def make(
        side: Side,
        price_ticks: int,
        lots: int,
        user: str = "ann",
        *,
        symbol: str = "BTC/USD",
        client_id: str | None = None,
        created_s: float = 0,
        until_s: float = 0,
        kind: OrderType = OrderType.LIMIT,
        time_in_force: TimeInForce = TimeInForce.GTC,
        self_trade: SelfTrade = SelfTrade.NONE,
        stop_ticks: int = 0,
    ) -> Order:
        number = next(numbers)
        return Order(
            order_id=str(number),
            user_id=user,
            client_order_id=client_id or f"c{number}",
            symbol=symbol,
            side=side,
            type=kind if price_ticks or stop_ticks else OrderType.MARKET,
            price_ticks=price_ticks,
            quantity_lots=lots,
            created_unix_nano=int(created_s * 1e9),
            time_in_force=TimeInForce.GTD if until_s else time_in_force,
            expires_unix_nano=int(until_s * 1e9),
            self_trade=self_trade,
            stop_ticks=stop_ticks,
        )

    return make
