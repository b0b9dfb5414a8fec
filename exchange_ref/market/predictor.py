"""Fits and asks the price models in a process of their own, so that no order waits for the interpreter."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, Tracer

from exchange_ref.engine.instruments import Pair
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.engine.tape import MINUTE_NS, Tape
from exchange_ref.market.past import Minute
from exchange_ref.market.price_models import MIN_MINUTES, TREES, Model, Score
from exchange_ref.telemetry.metrics import cpu_s
from exchange_ref.telemetry.tracing import under

if TYPE_CHECKING:
    from exchange_ref.market.forecast import Fitted

T = TypeVar("T")
# A client of the gateway waits no longer than 10 s.
PATIENCE_S: Final = 5.0
MAX_WAITING: Final = 8
NICENESS: Final = 5
# Models of so many minutes ago answer while newer ones are being fitted.
GOOD_FOR_MINUTES: Final = 5
FIT_POLL_S: Final = 0.02
# In the process of the models.
_fitted: dict[str, Fitted] = {}
_fits: dict[str, Future[tuple[dict[str, Score], float]]] = {}
_threads: Final = ThreadPoolExecutor(1, thread_name_prefix="fit")


class Question(NamedTuple):
    """Of a pair as it is now."""

    pair: Pair
    model: Model
    price: float
    volume_24h: float
    rsi: float


class Predictor:
    """`past` has minutes of before the first trade, by pair.

    Args:
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(self, tapes: Mapping[str, Tape], tracer: Tracer, now_ns: Callable[[], int]) -> None:
        self._tapes = tapes
        self._tracer = tracer
        self.now_ns = now_ns
        self._worker: tuple[ProcessPoolExecutor, Connection] | None = None
        self._waiting = 0
        # By pair: the newest minute that its models know, and their scores.
        self._known: dict[str, tuple[int, dict[str, Score]]] = {}
        self._fitting: dict[str, asyncio.Task[None]] = {}
        self.trees = TREES
        self.keeps_models = True
        self.past: Mapping[str, Sequence[Minute]] = {}
        self._pid = 0

    @property
    def cpu_s(self) -> float:
        """What its process has taken of a processor so far."""
        if not self._pid and self._worker is not None and self._worker[1].poll():
            self._pid = self._worker[1].recv()
        return cpu_s(self._pid) if self._pid else 0.0

    async def close(self) -> None:
        """What is being fitted is given up."""
        fitting = list(self._fitting.values())
        for task in fitting:
            task.cancel()
        worker, self._worker = self._worker, None
        if worker is not None:
            pool, ours = worker
            ours.close()
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
        await asyncio.gather(*fitting, return_exceptions=True)

    async def warm(self, pair: Pair) -> None:
        """Have models of a pair before anybody asks."""
        await self._be_ready(pair, INVALID_SPAN)

    async def predict(self, question: Question, parent: Span) -> tuple[float, Score]:
        """The expected move of the next minute in percent, and how good such answers were.

        Raises:
            OrderRejected: too few minutes were traded, too many ask, or the models are not ready.
        """
        if self._waiting >= MAX_WAITING:
            raise OrderRejected("unavailable", "the predictor has too many requests; try again in a second")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._be_ready(question.pair, parent)
                with self._tracer.start_as_current_span(
                    "predict.infer", context=under(parent), attributes={"predict.model": question.model}
                ):
                    symbol, figures = question.pair.symbol, question[2:]
                    move = await self._do(_infer, symbol, question.model, *figures)
                return move, self._known[symbol][1][question.model]
        except TimeoutError:
            raise OrderRejected(
                "unavailable", "the models are being fitted; try again in some seconds"
            ) from None
        except BrokenProcessPool:
            self._worker, self._pid = None, 0
            self._known.clear()
            raise OrderRejected("unavailable", "the predictor has ended; try again") from None
        finally:
            self._waiting -= 1

    async def _be_ready(self, pair: Pair, parent: Span) -> None:
        """Have models, of all minutes that are over or nearly so."""
        this_minute = self.now_ns() // MINUTE_NS
        known = self._known[pair.symbol][0] if pair.symbol in self._known and self.keeps_models else 0
        if known >= this_minute - 1:
            return
        waits = known < this_minute - GOOD_FOR_MINUTES
        task = self._fitting.get(pair.symbol)
        if task is None:
            minutes = self._minutes(pair, this_minute)
            if len(minutes) < MIN_MINUTES:
                raise OrderRejected(
                    "unavailable",
                    f"{pair.symbol} was traded in {len(minutes)} minutes so far; models need {MIN_MINUTES}",
                )
            task = asyncio.create_task(self._fit(pair, this_minute, minutes, parent=parent, waits=waits))
            self._fitting[pair.symbol] = task
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be nobody's
        if waits:
            await asyncio.shield(task)

    def _minutes(self, pair: Pair, this_minute: int) -> list[Minute]:
        """Those that are over, oldest first."""
        candles = self._tapes[pair.symbol].minutes
        traded = [
            Minute(minute, float(candles[minute][3] * pair.tick), float(candles[minute][4] * pair.lot))
            for minute in sorted(candles)
            if minute < this_minute
        ]
        first = traded[0].number if traded else this_minute
        return [minute for minute in self.past.get(pair.symbol, ()) if minute.number < first] + traded

    async def _fit(
        self, pair: Pair, this_minute: int, minutes: list[Minute], *, parent: Span, waits: bool
    ) -> None:
        """It goes on where the request that began it has lost its patience: the next one is glad of it.

        Args:
            waits: whether that request waits for it; else it is a trace of its own.
        """
        try:
            with self._tracer.start_as_current_span(
                "predict.fit",
                context=under(parent) if waits else Context(),
                links=[] if waits else [Link(parent.get_span_context())],
                attributes={"order.pair": pair.symbol, "predict.minutes": len(minutes)},
            ) as span:
                closes, volumes = [one.close for one in minutes], [one.volume for one in minutes]
                await self._do(_begin_fit, pair.symbol, closes, volumes, self.trees)
                while (done := await self._do(_end_fit, pair.symbol)) is None:  # noqa: ASYNC110 - its event is in another process
                    await asyncio.sleep(FIT_POLL_S)
                scores, took_s = done
                span.set_attribute("predict.cpu_ms", round(took_s * 1000, 3))
            self._known[pair.symbol] = (this_minute - 1, scores)
        finally:
            del self._fitting[pair.symbol]

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._worker is None:
            context = multiprocessing.get_context("spawn")
            theirs, ours = context.Pipe()
            self._worker = ProcessPoolExecutor(1, context, _begin, (theirs,)), ours
        return await asyncio.get_running_loop().run_in_executor(self._worker[0], work, *arguments)


def _begin(exchange: Connection) -> None:
    """Orders go first; and this process ends with the exchange, however that ends."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    exchange.send(os.getpid())

    def end_with_it() -> None:
        with suppress(EOFError, OSError):
            exchange.recv()
        os._exit(0)

    threading.Thread(target=end_with_it, daemon=True).start()


def _begin_fit(symbol: str, closes: list[float], volumes: list[float], trees: int) -> None:
    """In a thread, so that questions are answered meanwhile by the models that there are."""
    _fits[symbol] = _threads.submit(_fit, symbol, closes, volumes, trees)


def _end_fit(symbol: str) -> tuple[dict[str, Score], float] | None:
    """Scores by model, and the CPU time in seconds; None for not yet."""
    return _fits[symbol].result() if _fits[symbol].done() else None


def _fit(
    symbol: str, closes: list[float], volumes: list[float], trees: int
) -> tuple[dict[str, Score], float]:
    from exchange_ref.market.forecast import fit  # noqa: PLC0415 - takes a second, in this process alone

    started_s = time.thread_time()
    _fitted[symbol] = fit(closes, volumes, trees)
    scores = {str(model): score for model, score in _fitted[symbol].scores.items()}
    return scores, time.thread_time() - started_s


def _infer(symbol: str, model: Model, price: float, volume_24h: float, rsi: float) -> float:
    return _fitted[symbol].move_percent(model, price, volume_24h, rsi)
