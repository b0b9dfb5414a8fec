"""Orders, transfers and results as span attributes; amounts as doubles in whole assets."""

from __future__ import annotations

from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.orders import Order, OrderType, Result, Transfer


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
    if order.type is not OrderType.MARKET:
        attributes["order.price"] = float(order.price_ticks * pair.tick)
    return attributes


def result_attributes(symbol: str, result: Result) -> dict[str, str | float]:
    """What became of an order."""
    pair = PAIRS[symbol]
    attributes: dict[str, str | float] = {
        "order.status": str(result.status),
        "order.filled_quantity": float(result.filled_lots * pair.lot),
    }
    price = pair.mean_price(result.quote_units, result.filled_lots)
    if price is not None:
        attributes["order.fill_price"] = price
    return attributes


def transfer_attributes(transfer: Transfer) -> dict[str, str | float]:
    return {
        "transfer.id": transfer.transfer_id,
        "transfer.asset": transfer.asset,
        "transfer.amount": transfer.units / UNITS_PER_ASSET,
        "user.id": transfer.user_id,
    }
