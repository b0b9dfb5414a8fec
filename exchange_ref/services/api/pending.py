"""Settles withdrawals that got no answer from the payment provider, each try a trace of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from exchange_ref.broker.message import BrokerLost
from exchange_ref.broker.request_reply import NoReply
from exchange_ref.engine.attributes import payment_attributes
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.funds import FundsService, Payment
from exchange_ref.services.api.matcher_client import MatcherFailed
from exchange_ref.services.api.statements import SELECT_PENDING_PAYMENTS
from exchange_ref.services.payments import TIMEOUT_S
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.tracing import fail

logger = logging.getLogger(__name__)

EVERY_S: Final = 5.0
# The request that made it has its answer by then: the provider's time, and the matcher's twice.
LEAST_AGE_S: Final = TIMEOUT_S + 12.0
PAGE: Final = 20  # in a round: one after another, they take a minute at most when the provider is silent
NO_ANSWER: Final[tuple[type[Exception], ...]] = (NoReply, BrokerLost, MatcherFailed)


class PendingWithdrawals:
    """Asks the provider with the same idempotency key until it has paid or declined."""

    def __init__(
        self,
        funds: FundsService,
        database: Database,
        tracer: Tracer,
        log: ServiceLog,
        now_ns: Callable[[], int],
    ) -> None:
        self.every_s, self.least_age_s = EVERY_S, LEAST_AGE_S
        self._funds = funds
        self._database = database
        self._tracer = tracer
        self._log = log
        self._now_ns = now_ns
        self._last_id = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="pending-withdrawals")

    async def stop(self) -> None:
        """What is being asked now is given up: it is pending still, and asked again at the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.every_s)
            try:
                await self.settle()
            except self._database.backend.errors as error:  # a database that is busy now is read again
                logger.warning("pending withdrawals cannot be read: %s", error)

    async def settle(self) -> None:
        """One round: the next page, behind the last one or from the beginning again."""
        until_ns = self._now_ns() - int(self.least_age_s * 1e9)
        rows = await self._database.read(SELECT_PENDING_PAYMENTS, (until_ns, self._last_id, PAGE))
        self._last_id = str(rows[-1][0]) if len(rows) == PAGE else ""
        for row in rows:
            await self._settle_traced(Payment(*row))

    async def _settle_traced(self, payment: Payment) -> None:
        about = {"payment.id": payment.payment_id}
        with self._tracer.start_as_current_span(
            "funds.settle",
            context=Context(),
            attributes=payment_attributes(payment.asset, payment.units, payment.user_id),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                status = await self._funds.settle(payment, span)
            except OrderRejected as rejection:  # declined, refused by the ledger, at it already, or no answer
                span.set_attribute("payment.status", rejection.code)
                self._log.info(span, f"a pending withdrawal: {rejection}", about)
            except (*NO_ANSWER, *self._database.backend.errors) as error:
                span.record_exception(error)
                fail(span, type(error).__name__, str(error))
                self._log.warning(span, f"a pending withdrawal could not be settled: {error}", about)
            else:
                span.set_attribute("payment.status", status)
                self._log.info(span, f"a pending withdrawal is {status}", about)
