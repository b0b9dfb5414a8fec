"""The traded pairs, and conversions between decimals at the edge and integers inside.

Every asset counts in units of 1e-8. A price is a number of ticks and a quantity a number of lots, so that
price × quantity is an exact number of quote units and no balance is ever a float.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from exchange_ref.engine.orders import OrderRejected

UNITS_PER_ASSET = 10**8
# The largest value a signed 64-bit database column holds, so that no balance can outgrow its row.
MAX_UNITS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Pair:
    """A market: `base` is bought and sold, `quote` is paid.

    Args:
        tick: the smallest step of a price, in quote per base.
        lot: the smallest step of a quantity, in base.
        opening_price: where an empty market starts, in quote per base.
    """

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    opening_price: Decimal
    base_units_per_lot: int = field(init=False)
    quote_units_per_tick_lot: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_units_per_lot", exact_int(self.lot * UNITS_PER_ASSET))
        object.__setattr__(
            self, "quote_units_per_tick_lot", exact_int(self.tick * self.lot * UNITS_PER_ASSET)
        )

    def ticks(self, price: Decimal) -> int:
        """`price` in ticks.

        Raises:
            OrderRejected: not above zero, or between two ticks.
        """
        return _steps(price, self.tick, "price", "tick size", self.symbol)

    def lots(self, quantity: Decimal) -> int:
        """`quantity` in lots.

        Raises:
            OrderRejected: not above zero, or between two lots.
        """
        return _steps(quantity, self.lot, "quantity", "lot size", self.symbol)

    def notional_units(self, price_ticks: int, quantity_lots: int) -> int:
        """The quote units that `quantity_lots` cost at `price_ticks`."""
        return price_ticks * quantity_lots * self.quote_units_per_tick_lot

    def base_units(self, quantity_lots: int) -> int:
        return quantity_lots * self.base_units_per_lot

    def mean_price(self, quote_units: int, filled_lots: int) -> float | None:
        """The volume-weighted price of a fill in quote per base, for people; None without a fill."""
        return quote_units / self.base_units(filled_lots) if filled_lots else None


def exact_int(value: Decimal) -> int:
    """`value` as an integer; a fraction is a mistake in the instrument table."""
    whole = int(value)
    assert whole == value, f"{value} is not a whole number of units"
    return whole


def _steps(value: Decimal, step: Decimal, what: str, step_name: str, symbol: str) -> int:
    if not value.is_finite() or value <= 0:
        raise OrderRejected("invalid_order", f"{what} must be above zero, not {value}", {"field": what})
    if value > MAX_UNITS // UNITS_PER_ASSET:
        raise OrderRejected("invalid_order", f"{what} {value} is too large", {"field": what})
    steps, rest = divmod(value, step)
    if rest:
        message = f"{what} {value} is not a multiple of {symbol}'s {step_name} {step}"
        raise OrderRejected("invalid_order", message, {"field": what, "step": str(step)})
    return int(steps)


PAIRS = {
    pair.symbol: pair
    for pair in (
        Pair("BTC/USD", "BTC", "USD", Decimal("0.01"), Decimal("0.00001"), Decimal(42_000)),
        Pair("ETH/USD", "ETH", "USD", Decimal("0.01"), Decimal("0.0001"), Decimal(2_300)),
        Pair("SOL/USD", "SOL", "USD", Decimal("0.01"), Decimal("0.001"), Decimal(95)),
    )
}
ASSETS = tuple(sorted({asset for pair in PAIRS.values() for asset in (pair.base, pair.quote)}))
