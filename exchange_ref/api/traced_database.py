"""Every statement of a request as a CLIENT span, and a record of how long each took."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.api.database import Database, Parameters
from exchange_ref.api.statements import UPDATE_ORDERS, UPDATE_WALLETS, Statement
from exchange_ref.engine.orders import Result
from exchange_ref.telemetry import fail, trace_id_of, under

# Two minutes of three statements at 50 orders/s: enough to compare a fault with the time before it.
MAX_REMEMBERED_STATEMENTS = 20_000


@dataclass(frozen=True, slots=True)
class StatementRun:
    """One execution, as its caller saw it."""

    name: str
    trace_id: str
    start_unix_nano: int
    duration_ns: int


class TracedDatabase:
    def __init__(self, database: Database, tracer: Tracer) -> None:
        self._database = database
        self._tracer = tracer
        self.runs: deque[StatementRun] = deque(maxlen=MAX_REMEMBERED_STATEMENTS)

    async def read(self, statement: Statement, parameters: Parameters, parent: Span) -> list[tuple[Any, ...]]:
        with self._span(statement, parent):
            return await self._database.read(statement, parameters)

    async def write(self, statement: Statement, rows: Sequence[Parameters], parent: Span) -> None:
        with self._span(statement, parent):
            await self._database.write((statement, rows))

    async def settle(self, result: Result, parent: Span) -> None:
        """Bring wallets and orders to the state of `result`.

        One transaction and one span, named after what it is about: the wallets. A rejected order moved no
        money and has no wallets to write.
        """
        orders = [
            (str(change.status), change.filled_lots, change.order_id, change.filled_lots)
            for change in result.orders
        ]
        wallets = [
            (row.available_units, row.locked_units, row.version, row.user_id, row.asset, row.version)
            for row in result.balances
        ]
        if result.reason and not wallets:
            await self.write(UPDATE_ORDERS, orders, parent)
            return
        with self._span(UPDATE_WALLETS, parent) as span:
            span.set_attribute("db.operation.batch.size", len(wallets) + len(orders))
            await self._database.write((UPDATE_WALLETS, wallets), (UPDATE_ORDERS, orders))

    @contextmanager
    def _span(self, statement: Statement, parent: Span) -> Iterator[Span]:
        span = self._tracer.start_span(
            statement.name,
            context=under(parent),
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "sqlite",
                "db.namespace": "exchange",
                "db.operation.name": statement.operation,
                "db.collection.name": statement.table,
                "db.query.text": statement.sql,
            },
        )
        start_unix_nano, start_ns = time.time_ns(), time.perf_counter_ns()
        try:
            yield span
        except Exception as error:
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            raise
        finally:
            duration_ns = time.perf_counter_ns() - start_ns
            span.end()
            self.runs.append(StatementRun(statement.name, trace_id_of(span), start_unix_nano, duration_ns))
