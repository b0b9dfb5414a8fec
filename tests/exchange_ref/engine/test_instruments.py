from decimal import Decimal

import pytest

from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET, Pair
from exchange_ref.engine.orders import OrderRejected

BTC = PAIRS["BTC/USD"]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=lambda pair: pair.symbol)
def test_price_times_quantity_is_exact(pair: Pair) -> None:
    """One lot at one tick costs a whole number of quote units that equals tick × lot."""
    assert Decimal(pair.notional_units(1, 1)) == pair.tick * pair.lot * UNITS_PER_ASSET > 0


def test_decimals_become_steps() -> None:
    """A price in ticks and a quantity in lots are exact counts."""
    assert (BTC.ticks(Decimal("42000.01")), BTC.lots(Decimal("0.02"))) == (4_200_001, 2_000)


@pytest.mark.parametrize("value", ["0.001", "0", "-1", "NaN", "Infinity", "1e30"])
def test_bad_prices_are_refused(value: str) -> None:
    """A price between two ticks, not above zero, or without end is refused."""
    with pytest.raises(OrderRejected, match="price"):
        BTC.ticks(Decimal(value))
