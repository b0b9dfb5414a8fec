"""How much may be open at once: for one trader, and for the house on one side of one asset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from exchange_ref.cfd.words import OpenTrade
from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.orders import OrderRejected

# Worth of positions (margin × leverage) in USD. The house has a thousand million: a move of 10% against all
# of the three assets' limits takes a seventh of it.
MAX_TRADER_USD: Final = 50_000_000
MAX_HOUSE_USD: Final = 500_000_000


def check_exposure(open_trades: Iterable[OpenTrade], trade: OpenTrade) -> None:
    """
    Raises:
        OrderRejected: with this trade its trader, or the house, would have too much open.
    """
    of_trader = net_of_house = _worth_units(trade)
    for other in open_trades:
        if other.user_id == trade.user_id:
            of_trader += _worth_units(other)
        if other.asset == trade.asset:
            net_of_house += _worth_units(other) * (1 if other.side is trade.side else -1)
    for whose, worth, limit in (
        ("your open trades", of_trader, MAX_TRADER_USD),
        (f"all {trade.side} trades in {trade.asset}, less those against them,", net_of_house, MAX_HOUSE_USD),
    ):
        if worth > limit * UNITS_PER_ASSET:
            raise OrderRejected(
                "exposure_limit",
                f"{whose} would be worth {worth / UNITS_PER_ASSET:,.2f} USD and may be {limit:,}; "
                "take less margin or leverage, or close a trade first",
                {"worth_usd": worth / UNITS_PER_ASSET, "limit_usd": limit},
            )


def _worth_units(trade: OpenTrade) -> int:
    return trade.margin_units * trade.leverage
