"""The life of a transfer between its HTTP request and its answer."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.trace import Span

from exchange_ref.engine.attributes import transfer_attributes
from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.messages import encode_transfer
from exchange_ref.engine.orders import OrderRejected, Result, Status, Transfer
from exchange_ref.services.api.models import TransferReply, TransferRequest
from exchange_ref.services.api.statements import INSERT_TRANSFERS
from exchange_ref.services.api.wallets import Wallets


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
        units = _units(request)
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
        result = await self._matcher.execute(encode_transfer(transfer), server, "transfer")
        await self._wallets.traced.settle_transfer(result, transfer_status(result), server)
        server.set_attribute("transfer.status", transfer_status(result))
        if result.status is Status.REJECTED:
            raise OrderRejected("insufficient_funds", result.reason)
        reply = TransferReply(
            transfer_id=result.order_id,
            client_transfer_id=request.client_transfer_id,
            asset=request.asset,
            amount=units / UNITS_PER_ASSET,
            to_address=request.to_address,
            status=transfer_status(result),
        )
        return reply, result.repeated


def transfer_status(result: Result) -> str:
    """A transfer is done at once or not at all."""
    return "COMPLETED" if result.status is Status.FILLED else "REJECTED"


def _units(request: TransferRequest) -> int:
    units = request.amount * UNITS_PER_ASSET
    if units != int(units):
        message = f"amount {request.amount} has more than 8 decimal places"
        raise OrderRejected("invalid_transfer", message, {"field": "amount"})
    return int(units)
