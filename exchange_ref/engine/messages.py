"""Commands and results as message bodies and lines of the journal: JSON, rows as arrays, integers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from exchange_ref.cfd.words import CloseTrade, OpenTrade
from exchange_ref.engine.instruments import MAX_UNITS, PAIRS
from exchange_ref.engine.orders import Cancel, Deposit, Order, Result, Transfer, Withdrawal

# Orders of journals from before there was a time in force: all of them rested for as long as this.
UNSAID_REST_NS = 30 * 10**9
# What an order is before it was executed, whatever it says.
EXECUTION: Final = ("remaining_lots", "quote_units", "triggered")


@dataclass(frozen=True, slots=True)
class Failure:
    """The matcher's answer to a command that it could not execute."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


class _Reply(msgspec.Struct, omit_defaults=True):
    result: Result | None = None
    failure: Failure | None = None


Command = Order | Cancel | Transfer | Deposit | Withdrawal | OpenTrade | CloseTrade
WORDS: Final[Mapping[type[Command], str]] = {
    Order: "submit",
    Cancel: "cancel",
    Transfer: "transfer",
    Deposit: "deposit",
    Withdrawal: "withdrawal",
    OpenTrade: "cfd_open",
    CloseTrade: "cfd_close",
}
_TYPES: Final = {word: kind for kind, word in WORDS.items()}
_replies: Final = msgspec.json.Decoder(_Reply)


def fields_of(command: Command) -> dict[str, Any]:
    """What a command says, its enumerations as words."""
    fields: dict[str, Any] = msgspec.to_builtins(command)
    if isinstance(command, Order):
        for name in EXECUTION:
            del fields[name]
    return fields


def read_command(word: str, fields: dict[str, Any]) -> Command:
    """The command from its word and fields, as a message or the journal has them.

    Raises:
        ValueError: not a command.
    """
    kind = _TYPES.get(word)
    if kind is None:
        raise ValueError(f"no such command: {word!r}")
    if kind is Order and "time_in_force" not in fields:
        ends = fields["created_unix_nano"] + UNSAID_REST_NS if fields["price_ticks"] else 0
        fields = fields | {"time_in_force": "GTD" if ends else "GTC", "expires_unix_nano": ends}
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a command: {error}") from error


def encode_command(command: Command) -> bytes:
    return msgspec.json.encode({"op": WORDS[type(command)], "command": fields_of(command)})


def decode_command(body: bytes) -> Command:
    """
    Raises:
        ValueError: not a command.
    """
    try:
        message = msgspec.json.decode(body)
        command = read_command(message["op"], message["command"])
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise ValueError(f"not a command: {error}") from error
    match command:
        case OpenTrade() if min(command.entry_ticks, command.margin_units, command.leverage) <= 0:
            raise ValueError(f"no contract that can be priced: {command}")
        case Order() if command.symbol not in PAIRS or not 0 < command.quantity_lots <= MAX_UNITS:
            raise ValueError(f"no order of a pair that is traded: {command}")
    return command


def encode_result(result: Result) -> bytes:
    return msgspec.json.encode(_Reply(result=result))


def encode_failure(failure: Failure) -> bytes:
    return msgspec.json.encode(_Reply(failure=failure))


def decode_reply(body: bytes) -> Result | Failure:
    """
    Raises:
        ValueError: neither.
    """
    try:
        reply = _replies.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a reply: {error}") from error
    if reply.failure is not None:
        return reply.failure
    if reply.result is None:
        raise ValueError("a reply without a result")
    return reply.result
