"""The life of a transfer between its HTTP request and its answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from opentelemetry.trace import Span

from exchange_ref.engine.attributes import transfer_attributes
from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.messages import encode_command
from exchange_ref.engine.orders import OrderRejected, Result, Status, Transfer
from exchange_ref.services.api.models import TransferReply, TransferRequest
from exchange_ref.services.api.statements import INSERT_TRANSFERS, SELECT_TRANSFERS
from exchange_ref.services.api.wallets import Wallets

MAX_LISTED: Final = 500


class TransferService:
    """
    Args:
        new_id: gives transfer ids that never repeat.
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(self, wallets: Wallets, new_id: Callable[[], str], now_ns: Callable[[], int]) -> None:
        self._wallets = wallets
        self._matcher = wallets.matcher
        self._new_id = new_id
        self._now_ns = now_ns

    async def submit(
        self, user_id: str, request: TransferRequest, server: Span
    ) -> tuple[TransferReply, bool]:
        """Move money to an address; returns the answer and whether the client transfer id was a repeat.

        Raises:
            OrderRejected, NoReply, MatcherFailed: as the matcher's client.
        """
        units = units_of(request.amount)
        to_user_id = await self._wallets.user_of(request.to_address, server)
        if to_user_id == user_id:
            raise OrderRejected("invalid_transfer", "the address is the sender's own")
        transfer = Transfer(
            self._new_id(), user_id, to_user_id, request.client_transfer_id, request.asset, units
        )
        server.set_attributes(transfer_attributes(transfer))
        await self._wallets.check_funds(user_id, request.asset, units, server)
        row = (
            transfer.transfer_id,
            user_id,
            transfer.client_transfer_id,
            request.to_address,
            transfer.asset,
            units,
            self._now_ns(),
        )
        await self._wallets.traced.write(INSERT_TRANSFERS, [row], server)
        result = await self._matcher.execute(encode_command(transfer), server, "transfer")
        await self._wallets.traced.settle_transfer(result, transfer_status(result), server)
        server.set_attribute("transfer.status", transfer_status(result))
        if result.status is Status.REJECTED:
            raise OrderRejected("insufficient_funds", result.reason)
        ids = (result.order_id, request.client_transfer_id)
        reply = _reply((*ids, request.asset, units, request.to_address, transfer_status(result)))
        return reply, result.repeated

    async def list(self, user_id: str, server: Span) -> list[TransferReply]:
        """What a user has sent, the newest first; `MAX_LISTED` at most."""
        rows = await self._wallets.traced.read(SELECT_TRANSFERS, (user_id, MAX_LISTED), server)
        return [_reply(row) for row in rows]


def _reply(row: tuple[Any, ...]) -> TransferReply:
    """
    Args:
        row: columns of `sql/select_transfers.sql`.
    """
    transfer_id, client_id, asset, units, address, status = row
    return TransferReply(
        transfer_id=transfer_id,
        client_transfer_id=client_id,
        asset=asset,
        amount=units / UNITS_PER_ASSET,
        to_address=address,
        status=status,
    )


def transfer_status(result: Result) -> str:
    """A transfer is done at once or not at all."""
    return "COMPLETED" if result.status is Status.FILLED else "REJECTED"


def units_of(amount: Decimal) -> int:
    units = amount * UNITS_PER_ASSET
    if units != int(units):
        message = f"amount {amount} has more than 8 decimal places"
        raise OrderRejected("invalid_transfer", message, {"field": "amount"})
    return int(units)
