"""Runs the statements of a request, each as a CLIENT span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.engine.orders import OrderChange, Result
from exchange_ref.services.api.database import Database, Parameters
from exchange_ref.services.api.statements import (
    UPDATE_CFD_TRADES,
    UPDATE_ORDERS,
    UPDATE_PAYMENTS,
    UPDATE_TRANSFERS,
    UPDATE_WALLETS,
    Statement,
)
from exchange_ref.telemetry.tracing import fail, under


class TracedDatabase:
    def __init__(self, database: Database, tracer: Tracer) -> None:
        self._database = database
        self._tracer = tracer

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
        orders = [order_update(change) for change in result.orders]
        wallets = _wallet_rows(result)
        if result.reason and not wallets:
            await self.write(UPDATE_ORDERS, orders, parent)
            return
        with self._span(UPDATE_WALLETS, parent) as span:
            span.set_attribute("db.operation.batch.size", len(wallets) + len(orders))
            await self._database.write((UPDATE_WALLETS, wallets), (UPDATE_ORDERS, orders))

    async def settle_transfer(self, result: Result, status: str, parent: Span) -> None:
        """The same for a transfer and its two wallets."""
        await self._settle_one(result, UPDATE_TRANSFERS, (status, result.order_id), parent)

    async def settle_payment(self, result: Result, status: str, payment_id: str, parent: Span) -> None:
        """The same for a deposit or a withdrawal."""
        await self._settle_one(result, UPDATE_PAYMENTS, (status, payment_id), parent)

    async def _settle_one(self, result: Result, statement: Statement, row: Parameters, parent: Span) -> None:
        wallets = _wallet_rows(result)
        with self._span(UPDATE_WALLETS, parent) as span:
            span.set_attribute("db.operation.batch.size", len(wallets) + 1)
            await self._database.write((UPDATE_WALLETS, wallets), (statement, [row]))

    async def settle_trade(self, result: Result, parent: Span) -> None:
        """The same for a contract for difference and its trader's wallet."""
        change = result.trade
        if change is None:  # refused: no money has moved
            await self.write(UPDATE_CFD_TRADES, [(str(result.status), 0, 0, result.order_id)], parent)
            return
        row = (str(change.status), change.price_ticks, change.profit_units, change.trade_id)
        await self._settle_one(result, UPDATE_CFD_TRADES, row, parent)

    @contextmanager
    def _span(self, statement: Statement, parent: Span) -> Iterator[Span]:
        span = self._tracer.start_span(
            statement.name,
            context=under(parent),
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": self._database.backend.system,
                **self._database.backend.attributes,
                "db.namespace": "exchange",
                "db.operation.name": statement.operation,
                "db.collection.name": statement.table,
                "db.query.text": self._database.text(statement),
            },
        )
        try:
            yield span
        except Exception as error:
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            raise
        finally:
            span.end()


def order_update(change: OrderChange) -> Parameters:
    """Parameters of `UPDATE_ORDERS`."""
    filled = change.filled_lots
    return (str(change.status), filled, change.quote_units, change.triggered, change.order_id, filled)


def _wallet_rows(result: Result) -> list[Parameters]:
    return [
        (row.available_units, row.locked_units, row.version, row.user_id, row.asset, row.version)
        for row in result.balances
    ]
