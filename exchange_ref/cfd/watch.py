"""Ends positions by themselves: liquidation, stop-loss and take-profit, each a trace of its own."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from exchange_ref.broker.message import BrokerLost
from exchange_ref.broker.request_reply import NoReply
from exchange_ref.cfd.attributes import trade_attributes
from exchange_ref.cfd.pricing import MARGIN_ASSET, ending
from exchange_ref.cfd.service import TradeService, quote_ticks
from exchange_ref.cfd.words import OpenTrade, TradeStatus
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.market.prices import PUSH_EVERY_S, PriceFeed, Quote
from exchange_ref.services.api.matcher_client import MatcherFailed
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.tracing import fail

logger = logging.getLogger(__name__)

# An exchange that cannot end a position now is asked again after this.
RETRY_S: Final = 1.0


class Watch:
    def __init__(self, trades: TradeService, prices: PriceFeed, tracer: Tracer, log: ServiceLog) -> None:
        self._trades = trades
        self._prices = prices
        self._tracer = tracer
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self.ending: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="cfd-watch")

    async def stop(self) -> None:
        """What is being ended now is given up; the matcher's answer is in its journal."""
        tasks = [*self.ending.values(), *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def look(self) -> None:
        """Begin to end every position that the newest prices end. 0.4 µs a position: 1,000 at 20 prices
        a second take 1% of a core."""
        quotes: dict[str, Quote] = {}
        for trade in list(self._trades.open.values()):
            quote = quotes.get(trade.asset)
            if quote is None:
                quote = quotes[trade.asset] = self._prices.newest(f"{trade.asset}/{MARGIN_ASSET}")
            ticks = quote_ticks(trade.asset, quote)
            status = ending(trade, ticks)
            if status is not None and trade.trade_id not in self.ending:
                self.ending[trade.trade_id] = asyncio.create_task(self._end(trade, ticks, status))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PUSH_EVERY_S)
            self.look()

    async def _end(self, trade: OpenTrade, ticks: int, status: TradeStatus) -> None:
        try:
            if not await self._end_traced(trade, ticks, status):
                await asyncio.sleep(RETRY_S)
        finally:
            del self.ending[trade.trade_id]

    async def _end_traced(self, trade: OpenTrade, ticks: int, status: TradeStatus) -> bool:
        """Returns whether that is done with, one way or the other."""
        with self._tracer.start_as_current_span(
            "cfd.trigger",
            context=Context(),
            attributes=trade_attributes(trade),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                reply = await self._trades.end(trade, ticks, status, span)
            except OrderRejected as rejection:  # its owner was faster, or it was never opened
                logger.debug("trade %s: %s", trade.trade_id, rejection)
                return True
            except (NoReply, BrokerLost, MatcherFailed) as error:
                span.record_exception(error)
                fail(span, type(error).__name__, str(error))
                self._log.warning(span, f"a trade could not be ended: {error}", {"cfd.id": trade.trade_id})
                return False
            self._log.info(span, f"trade {reply.status}", {"cfd.id": trade.trade_id})
            return True
