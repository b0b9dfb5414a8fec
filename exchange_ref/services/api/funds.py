"""Money in and out: deposits and withdrawals, between the ledger and a payment provider.

A withdrawal is locked first, then paid out, then taken from the ledger, or unlocked where it was declined.
Each step may be repeated: a request that got no answer is sent again with the same client id. A withdrawal is
also settled without (`pending.py`); a deposit is not, since its client may have paid in another way since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from opentelemetry.trace import Span

from exchange_ref.engine.attributes import payment_attributes
from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.ledger import DEPOSIT_FEE_PPM, WITHDRAWAL_FEE_PPM, fee_units
from exchange_ref.engine.messages import encode_command
from exchange_ref.engine.orders import Deposit, OrderRejected, Status, Withdrawal, WithdrawalStage
from exchange_ref.services.api.models import FundsReply, FundsRequest
from exchange_ref.services.api.orders import moment
from exchange_ref.services.api.statements import (
    INSERT_PAYMENTS,
    SELECT_PAYMENT,
    SELECT_PAYMENTS,
    UPDATE_PAYMENTS,
)
from exchange_ref.services.api.transfers import units_of
from exchange_ref.services.api.wallets import Wallets
from exchange_ref.services.payments import PaymentClient, PaymentDeclined, PaymentUnknown

DEPOSIT: Final = "DEPOSIT"
WITHDRAWAL: Final = "WITHDRAWAL"
PENDING: Final = "PENDING"
MAX_LISTED: Final = 500


class Payment(NamedTuple):
    payment_id: str
    user_id: str
    client_id: str
    asset: str
    units: int
    fee_units: int


class FundsService:
    """
    Args:
        new_id: gives payment ids that never repeat.
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(
        self, wallets: Wallets, payments: PaymentClient, new_id: Callable[[], str], now_ns: Callable[[], int]
    ) -> None:
        self._wallets = wallets
        self._traced = wallets.traced
        self._payments = payments
        self._new_id = new_id
        self._now_ns = now_ns
        self._busy: set[str] = set()

    async def submit(
        self, kind: str, user_id: str, request: FundsRequest, server: Span
    ) -> tuple[FundsReply, bool]:
        """Deposit or withdraw; returns the answer and whether the client id was that of one that is over.

        Raises:
            OrderRejected: as its message says.
            NoReply, MatcherFailed: as the matcher's client.
        """
        units = units_of(request.amount)
        fee = fee_units(units, DEPOSIT_FEE_PPM if kind == DEPOSIT else WITHDRAWAL_FEE_PPM)
        if kind == DEPOSIT and fee >= units:
            raise OrderRejected("invalid_request", f"nothing is left of {request.amount} after the fee")
        key = (user_id, kind, request.client_id)
        rows = await self._traced.read(SELECT_PAYMENT, key, server)
        if not rows:
            if kind == WITHDRAWAL:
                await self._wallets.check_funds(user_id, request.asset, units + fee, server)
            row = (self._new_id(), *key, request.asset, units, fee, self._now_ns())
            await self._traced.write(INSERT_PAYMENTS, [row], server)
            rows = await self._traced.read(SELECT_PAYMENT, key, server)
        *_, status, created_unix_nano = rows[0]
        payment = Payment(rows[0][0], user_id, *rows[0][2:6])
        server.set_attributes(payment_attributes(payment.asset, payment.units, payment.user_id))
        if (payment.asset, payment.units) != (request.asset, units):
            raise OrderRejected(
                "conflict",
                f"the client id {request.client_id!r} was used before, with other content; choose another id",
                {"payment": _reply(rows[0]).model_dump(mode="json")},
            )
        repeated = status != PENDING
        if not repeated:
            status = await self._execute_alone(kind, payment, server)
        server.set_attribute("payment.status", status)
        return _reply((*rows[0][:6], status, created_unix_nano)), repeated

    async def list(self, kind: str, user_id: str, server: Span) -> list[FundsReply]:
        """The newest first; `MAX_LISTED` at most."""
        rows = await self._traced.read(SELECT_PAYMENTS, (user_id, kind, MAX_LISTED), server)
        return [_reply(row) for row in rows]

    async def settle(self, withdrawal: Payment, server: Span) -> str:
        """Go on with a withdrawal that is pending, as its request sent again would; returns its status.

        Raises:
            OrderRejected: declined or refused, which ends it; or no answer again, which does not.
            NoReply, MatcherFailed: as the matcher's client.
        """
        return await self._execute_alone(WITHDRAWAL, withdrawal, server)

    async def _execute_alone(self, kind: str, payment: Payment, server: Span) -> str:
        """Two at once might pay out and give back the same money."""
        if payment.payment_id in self._busy:
            raise OrderRejected("conflict", "this payment is being executed; ask again in a second")
        self._busy.add(payment.payment_id)
        try:
            return await (self._deposit if kind == DEPOSIT else self._withdraw)(payment, server)
        finally:
            self._busy.discard(payment.payment_id)

    async def _deposit(self, payment: Payment, server: Span) -> str:
        try:
            await self._pay("/charges", payment, server)
        except PaymentDeclined as error:
            await self._traced.write(UPDATE_PAYMENTS, [("DECLINED", payment.payment_id)], server)
            raise OrderRejected("payment_declined", f"{error}; nothing was charged") from None
        deposit = Deposit(
            payment.user_id, payment.asset, payment.units, payment.payment_id, payment.fee_units
        )
        return await self._book(encode_command(deposit), "COMPLETED", payment, server)

    async def _withdraw(self, payment: Payment, server: Span) -> str:
        def step(stage: WithdrawalStage) -> bytes:
            return encode_command(Withdrawal(*payment, stage))

        reserved = await self._wallets.matcher.execute(step(WithdrawalStage.RESERVE), server, "payment")
        if reserved.status is Status.REJECTED:
            await self._traced.settle_payment(reserved, "REJECTED", payment.payment_id, server)
            raise OrderRejected(reserved.code, reserved.reason)
        await self._traced.settle_payment(reserved, PENDING, payment.payment_id, server)
        try:
            await self._pay("/payouts", payment, server)
        except PaymentDeclined as error:
            await self._book(step(WithdrawalStage.REFUND), "DECLINED", payment, server)
            raise OrderRejected("payment_declined", f"{error}; the money is in your wallet again") from None
        return await self._book(step(WithdrawalStage.PAY), "COMPLETED", payment, server)

    async def _book(self, command: bytes, status: str, payment: Payment, server: Span) -> str:
        result = await self._wallets.matcher.execute(command, server, "payment")
        await self._traced.settle_payment(result, status, payment.payment_id, server)
        return status

    async def _pay(self, path: str, payment: Payment, server: Span) -> None:
        amount = payment.units / UNITS_PER_ASSET
        try:
            await self._payments.send(path, payment.payment_id, payment.asset, amount, server)
        except PaymentUnknown as error:
            message = f"{error}; send it again with the same client_id: it is paid once"
            raise OrderRejected("payment_failed", message) from None


def _reply(row: tuple[Any, ...]) -> FundsReply:
    """
    Args:
        row: columns of `sql/select_payment.sql`.
    """
    payment_id, kind, client_id, asset, units, fee, status, created_unix_nano = row
    booked = units - fee if kind == DEPOSIT else units + fee
    return FundsReply(
        payment_id=payment_id,
        client_id=client_id,
        asset=asset,
        amount=units / UNITS_PER_ASSET,
        fee=fee / UNITS_PER_ASSET,
        booked=booked / UNITS_PER_ASSET,
        status=status,
        created_at=moment(created_unix_nano),
    )
