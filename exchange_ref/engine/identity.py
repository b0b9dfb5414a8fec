"""The identity of a command that is repeated, and the fields that must then be the same."""

from __future__ import annotations

from typing import assert_never

from exchange_ref.cfd.words import CloseTrade, OpenTrade
from exchange_ref.engine.orders import Deposit, Order, Transfer, Withdrawal

Idempotent = Order | Transfer | Deposit | Withdrawal | OpenTrade | CloseTrade


def identity_of(command: Idempotent) -> tuple[tuple[str, str], tuple[str | int, ...]]:
    """((user, client's id), content). Ids and times that the exchange gives are no content.

    Content is words and numbers, which `Remembered` can keep as bytes.
    """
    match command:
        case Order():
            content: tuple[str | int, ...] = (
                command.symbol,
                command.side,
                command.type,
                command.price_ticks,
                command.quantity_lots,
                command.time_in_force,
                command.self_trade,
                command.stop_ticks,
            )
            name = command.client_order_id
        case Transfer():
            content = (command.to_user_id, command.asset, command.units)
            name = f"transfer/{command.client_transfer_id}"
        case Deposit():
            content = (command.asset, command.units)
            name = f"deposit/{command.deposit_id}"
        case Withdrawal():
            content = (command.asset, command.units)
            name = f"withdrawal/{command.client_id}/{command.stage}"
        case OpenTrade():  # at whatever price it would be opened now
            content = (
                command.asset,
                command.side,
                command.leverage,
                command.margin_units,
                command.stop_loss_ticks,
                command.take_profit_ticks,
            )
            name = f"cfd/{command.client_trade_id}"
        case CloseTrade():  # a position ends once, whatever ends it
            content = ()
            name = f"cfd-end/{command.trade_id}"
        case _:
            assert_never(command)
    return (command.user_id, name), content
