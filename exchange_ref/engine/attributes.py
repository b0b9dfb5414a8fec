"""Orders, transfers and results as span attributes; amounts as doubles in whole assets."""

from __future__ import annotations

from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.orders import Order, Result, Side, Transfer


def order_attributes(order: Order) -> dict[str, str | float]:
    pair = PAIRS[order.symbol]
    attributes: dict[str, str | float] = {
        "order.id": order.order_id,
        "order.pair": order.symbol,
        "order.side": str(order.side),
        "order.type": str(order.type),
        "order.quantity": float(order.quantity_lots * pair.lot),
        "user.id": order.user_id,
    }
    if order.price_ticks:
        attributes["order.price"] = float(order.price_ticks * pair.tick)
    if order.stop_ticks:
        attributes["order.stop_price"] = float(order.stop_ticks * pair.tick)
    return attributes


def slippage_bps(side: Side, expected: float, paid: float) -> float:
    """How much worse than expected a price is, in hundredths of a per cent; below zero for better.

    >>> slippage_bps(Side.BUY, 100.0, 100.05), slippage_bps(Side.SELL, 100.0, 100.05)
    (5.0, -5.0)
    """
    return round((paid / expected - 1) * 10_000 * (1 if side is Side.BUY else -1), 4)


def slippage_of(order: Order, result: Result) -> float | None:
    """Of what was traded at once, against the best price that was offered; None where nothing was."""
    pair = PAIRS[order.symbol]
    paid = pair.mean_price(result.quote_units, result.filled_lots)
    if paid is None or not result.fills:
        return None
    return slippage_bps(order.side, float(result.fills[0].price_ticks * pair.tick), paid)


def result_attributes(order: Order, result: Result) -> dict[str, str | float]:
    """What became of an order."""
    pair = PAIRS[order.symbol]
    attributes: dict[str, str | float] = {
        "order.status": str(result.status),
        "order.filled_quantity": float(result.filled_lots * pair.lot),
    }
    price = pair.mean_price(result.quote_units, result.filled_lots)
    if price is not None:
        attributes["order.fill_price"] = price
    if (slippage := slippage_of(order, result)) is not None:
        attributes["order.slippage_bps"] = slippage
    if triggered := sum(change.triggered for change in result.orders):
        attributes["order.stops_triggered"] = triggered
    return attributes


def transfer_attributes(transfer: Transfer) -> dict[str, str | float]:
    return {
        "transfer.id": transfer.transfer_id,
        "transfer.asset": transfer.asset,
        "transfer.amount": transfer.units / UNITS_PER_ASSET,
        "user.id": transfer.user_id,
    }


def payment_attributes(asset: str, units: int, user_id: str) -> dict[str, str | float]:
    return {"payment.asset": asset, "payment.amount": units / UNITS_PER_ASSET, "user.id": user_id}
