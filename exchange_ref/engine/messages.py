"""Commands and results as message bodies: JSON, rows as arrays, integers throughout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange, TradeSide, TradeStatus
from exchange_ref.engine.instruments import MAX_UNITS, PAIRS
from exchange_ref.engine.orders import (
    BalanceChange,
    Cancel,
    Deposit,
    Fill,
    Order,
    OrderChange,
    OrderType,
    Result,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
    Transfer,
    Withdrawal,
    WithdrawalStage,
)

# Orders of journals from before there was a time in force: all of them rested for as long as this.
UNSAID_REST_NS = 30 * 10**9


@dataclass(frozen=True, slots=True)
class Failure:
    """The matcher's answer to a command that it could not execute."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


Command = Order | Cancel | Transfer | Deposit | Withdrawal | OpenTrade | CloseTrade


def encode_submit(order: Order) -> bytes:
    return _encode({"op": "submit", "order": asdict(order)})


def encode_deposit(deposit: Deposit) -> bytes:
    return _encode({"op": "deposit", "deposit": asdict(deposit)})


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    return _encode({"op": "withdrawal", "withdrawal": asdict(withdrawal)})


def encode_cancel(cancel: Cancel) -> bytes:
    return _encode({"op": "cancel", "cancel": asdict(cancel)})


def encode_transfer(transfer: Transfer) -> bytes:
    return _encode({"op": "transfer", "transfer": asdict(transfer)})


def encode_cfd(command: OpenTrade | CloseTrade) -> bytes:
    op = "cfd_open" if isinstance(command, OpenTrade) else "cfd_close"
    return _encode({"op": op, op: asdict(command)})


def read_order(fields: dict[str, Any]) -> Order:
    """The order from its fields, as a message or the journal has them."""
    if "time_in_force" not in fields:
        ends = fields["created_unix_nano"] + UNSAID_REST_NS if fields["price_ticks"] else 0
        fields = fields | {"time_in_force": "GTD" if ends else "GTC", "expires_unix_nano": ends}
    words = {
        "side": Side(fields["side"]),
        "type": OrderType(fields["type"]),
        "time_in_force": TimeInForce(fields["time_in_force"]),
        "self_trade": SelfTrade(fields.get("self_trade", SelfTrade.NONE)),
    }
    return Order(**fields | words)


def read_withdrawal(fields: dict[str, Any]) -> Withdrawal:
    return Withdrawal(**{**fields, "stage": WithdrawalStage(fields["stage"])})


def open_trade(fields: dict[str, Any]) -> OpenTrade:
    return OpenTrade(**{**fields, "side": TradeSide(fields["side"])})


def close_trade(fields: dict[str, Any]) -> CloseTrade:
    return CloseTrade(**{**fields, "status": TradeStatus(fields["status"])})


# Commands but orders, by their word in messages and in the journal.
READERS: Mapping[str, Callable[[dict[str, Any]], Command]] = {
    "deposit": lambda fields: Deposit(**fields),
    "withdrawal": read_withdrawal,
    "cancel": lambda fields: Cancel(**fields),
    "transfer": lambda fields: Transfer(**fields),
    "cfd_open": open_trade,
    "cfd_close": close_trade,
}


def decode_command(body: bytes) -> Command:
    """
    Raises:
        ValueError: not a command.
    """
    try:
        command: dict[str, Any] = json.loads(body)
        op = command["op"]
        if op in READERS:
            read = READERS[op](command[op])
            if isinstance(read, OpenTrade) and min(read.entry_ticks, read.margin_units, read.leverage) <= 0:
                raise ValueError(f"no contract that can be priced: {read}")
            return read
        fields = command["order"]
        if fields["symbol"] not in PAIRS or not 0 < fields["quantity_lots"] <= MAX_UNITS:
            raise ValueError(f"no order of a pair that is traded: {fields}")
        return read_order(fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a command: {error}") from error


def encode_result(result: Result) -> bytes:
    return _encode(
        {
            "order_id": result.order_id,
            "status": result.status,
            "filled_lots": result.filled_lots,
            "quote_units": result.quote_units,
            "fills": [
                [fill.maker_order_id, fill.taker_order_id, fill.price_ticks, fill.lots]
                for fill in result.fills
            ],
            "orders": [astuple(change) for change in result.orders],
            "balances": [
                [row.user_id, row.asset, row.available_units, row.locked_units, row.version]
                for row in result.balances
            ],
            "reason": result.reason,
            "repeated": result.repeated,
            "trade": astuple(result.trade) if result.trade is not None else None,
            "code": result.code,
        }
    )


def encode_failure(failure: Failure) -> bytes:
    return _encode({"failure": asdict(failure)})


def decode_reply(body: bytes) -> Result | Failure:
    reply: dict[str, Any] = json.loads(body)
    if "failure" in reply:
        return Failure(**reply["failure"])
    return Result(
        order_id=reply["order_id"],
        status=Status(reply["status"]),
        filled_lots=reply["filled_lots"],
        quote_units=reply["quote_units"],
        fills=tuple(Fill(*row) for row in reply["fills"]),
        orders=tuple(OrderChange(row[0], Status(row[1]), *row[2:]) for row in reply["orders"]),
        balances=tuple(BalanceChange(*row) for row in reply["balances"]),
        reason=reply["reason"],
        repeated=reply["repeated"],
        trade=_trade_change(reply["trade"]),
        code=reply["code"],
    )


def _trade_change(row: list[Any] | None) -> TradeChange | None:
    if row is None:
        return None
    trade_id, status, *figures = row
    return TradeChange(trade_id, TradeStatus(status), *figures)


def _encode(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
