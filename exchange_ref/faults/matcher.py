"""Faults of kx-matcher: contended locks, collections over a large heap, a disk that is slow to sync."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from exchange_ref.engine.orders import Order, Side
from exchange_ref.faults.impact import Impact, Window, compare, durations_ms, passages_ms, trace_ids
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute
from exchange_ref.faults.tasks import cancelled_at_end
from exchange_ref.telemetry.tracing import EXCHANGE, MATCHER

# About 3 ms of work between two looks at the event loop.
HEAP_CHUNK_OBJECTS = 20_000
# A shorter pause is no more than what usually happens.
MIN_PAUSE_MS = 5.0
SYNC_BLOCK = bytes(256 * 1024)


class ConsumerLagParams(LastingParams):
    hold_ms: float = Field(60, gt=0, le=4_000)
    every_ms: float = Field(80, gt=0, le=60_000)


class ConsumerLag(LastingFault[ConsumerLagParams]):
    """A snapshot of all balances, taken far too often, keeps the state locked; the consumer waits for it and
    its queue grows."""

    kind = "consumer_lag"
    params_model: ClassVar[type[LastingParams]] = ConsumerLagParams
    root_service = MATCHER
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "order.match"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        engine, lock = scene.exchange.engine, scene.exchange.matcher.stages.state
        path = scene.exchange.folder / "state.json.gz"

        async def snapshot_again_and_again() -> None:
            while True:
                async with lock:
                    rows = engine.ledger.all_balances()
                    await asyncio.gather(
                        asyncio.to_thread(_write_snapshot, path, rows),
                        asyncio.sleep(scene.around(self.params.hold_ms / 1000)),
                    )
                await asyncio.sleep(self.params.every_ms / 1000)

        async with cancelled_at_end(snapshot_again_and_again()):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        witness = scene.exchange.witness
        # The first order waits in its own span, those behind it in the queue.
        published, matched = witness.runs(EXCHANGE, "publish <default>"), witness.runs(MATCHER, "order.match")
        return compare(passages_ms(published, matched), window, self.params.hold_ms / 3)


class HotSymbolParams(LastingParams):
    pair: Literal["BTC/USD", "ETH/USD", "SOL/USD"] = "BTC/USD"
    hold_ms: float = Field(50, gt=0, le=4_000)
    every_ms: float = Field(60, gt=0, le=60_000)


class HotSymbolContention(LastingFault[HotSymbolParams]):
    """Somebody reads the depth of one book all the time and holds its lock meanwhile; orders of that pair
    wait, and others behind them."""

    kind = "hot_symbol_contention"
    params_model: ClassVar[type[LastingParams]] = HotSymbolParams
    root_service = MATCHER
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "orderbook.execute"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        symbol = self.params.pair
        book, lock = scene.exchange.engine.books[symbol], scene.exchange.matcher.stages.books[symbol]

        async def read_again_and_again() -> None:
            while True:
                async with lock:
                    for side in Side:
                        book.depth(side)
                    await asyncio.sleep(scene.around(self.params.hold_ms / 1000))
                await asyncio.sleep(self.params.every_ms / 1000)

        async with cancelled_at_end(read_again_and_again()):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, MATCHER, "orderbook.execute")
        return compare(samples, window, self.params.hold_ms / 3)


class GcPauseParams(LastingParams):
    """A collection takes about 230 ms for a million objects."""

    heap_objects: int = Field(200_000, ge=10_000, le=20_000_000)
    every_ms: float = Field(250, gt=0, le=60_000)


class GcPause(LastingFault[GcPauseParams]):
    """The matcher keeps a large heap, and Python's collector walks through all of it while an order is in the
    book. It stops the whole process, as collectors do."""

    kind = "gc_pause"
    params_model: ClassVar[type[LastingParams]] = GcPauseParams
    root_service = MATCHER
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "orderbook.execute"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        stages, heap = scene.exchange.matcher.stages, await _build_heap(self.params.heap_objects)
        last_s, pauses_ms = 0.0, list[float]()

        def collect_now_and_then(_: Order) -> None:
            nonlocal last_s
            if time.monotonic() - last_s >= self.params.every_ms / 1000:
                begun_s = time.monotonic()
                gc.collect()
                last_s = time.monotonic()
                pauses_ms.append((last_s - begun_s) * 1000)

        stages.executing = collect_now_and_then
        try:
            yield
        finally:
            stages.executing = None
            scene.notes["pause_ms"] = statistics.median(pauses_ms) if pauses_ms else 0.0
            while heap:
                heap.pop()
                await asyncio.sleep(0)

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, MATCHER, "orderbook.execute")
        pause_ms = scene.notes["pause_ms"]
        impact = compare(samples, window, max(pause_ms / 2, MIN_PAUSE_MS))
        return replace(impact, figures={**impact.figures, "pause_ms": round(pause_ms, 2)})


class FsyncStallParams(LastingParams):
    stall_ms: float = Field(80, gt=0, le=4_000)
    share: float = Field(0.1, gt=0, le=1)


class FsyncStall(LastingFault[FsyncStallParams]):
    """The journal's disk is busy: before a line is written, blocks are written and synced for a while."""

    kind = "fsync_stall"
    params_model: ClassVar[type[LastingParams]] = FsyncStallParams
    root_service = MATCHER
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "journal.append"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        path = scene.exchange.folder / "journal.blocks"

        async def sync_now_and_then() -> None:
            if scene.rng.random() < self.params.share:
                await asyncio.to_thread(_sync_for, path, scene.around(self.params.stall_ms / 1000))

        with attribute(scene.exchange.matcher.stages, "appending", sync_now_and_then):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, MATCHER, "journal.append")
        return compare(samples, window, self.params.stall_ms / 2)


class SnapshotPauseParams(LastingParams):
    pause_ms: float = Field(80, gt=0, le=4_000)
    every_ms: float = Field(250, gt=0, le=60_000)


class SnapshotPause(LastingFault[SnapshotPauseParams]):
    """Snapshots of the state come far too often and hold it until a disk has synced; orders wait for each.

    None is taken while the matcher is a process of its own.
    """

    kind = "snapshot_pause"
    params_model: ClassVar[type[LastingParams]] = SnapshotPauseParams
    root_service = MATCHER
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "snapshot.copy"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        snapshots, path = scene.exchange.snapshots, scene.exchange.folder / "state.blocks"

        async def sync() -> None:
            await asyncio.to_thread(_sync_for, path, scene.around(self.params.pause_ms / 1000))

        async def take_again_and_again() -> None:
            while True:
                await snapshots.take()
                await asyncio.sleep(self.params.every_ms / 1000)

        with attribute(snapshots, "copying", sync):
            async with cancelled_at_end(take_again_and_again()):
                yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        """By the snapshots themselves, which are rare before, and by the orders that waited for them."""
        witness = scene.exchange.witness
        pauses = [
            one for one in durations_ms(witness, MATCHER, "snapshot.copy") if one.at_unix_nano in window
        ]
        published, matched = witness.runs(EXCHANGE, "publish <default>"), witness.runs(MATCHER, "order.match")
        orders = compare(passages_ms(published, matched), window, self.params.pause_ms / 3)
        longest_ms = max((pause.value for pause in pauses), default=0.0)
        return Impact(
            orders.verified and longest_ms >= self.params.pause_ms / 2,
            trace_ids(pause.trace_id for pause in pauses) + orders.trace_ids,
            {**orders.figures, "snapshots": len(pauses), "longest_pause_ms": round(longest_ms, 2)},
        )


async def _build_heap(objects: int) -> list[list[dict[str, object]]]:
    """So many objects that the collector has to look at, built without holding up the event loop."""
    heap: list[list[dict[str, object]]] = []
    for start in range(0, objects, HEAP_CHUNK_OBJECTS):
        # The collector looks only at dicts that hold a container.
        heap.append(
            [{"heap": heap, "key": n} for n in range(start, min(start + HEAP_CHUNK_OBJECTS, objects))]
        )
        await asyncio.sleep(0)
    return heap


def _write_snapshot(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(rows, file)


def _sync_for(path: Path, duration_s: float) -> None:
    until_s = time.monotonic() + duration_s
    with path.open("wb") as file:
        while time.monotonic() < until_s:
            file.seek(0)
            file.write(SYNC_BLOCK)
            file.flush()
            os.fsync(file.fileno())
