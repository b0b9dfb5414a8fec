"""A bounded queue between an order and an exporter: when it is full it drops and counts, and never waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class BoundedExport(Generic[T]):
    """Queue things and export them in batches from a thread of its own.

    Args:
        send: exports one batch; False or an exception when it failed. Called by the thread.
        max_queued: beyond this many a new thing is dropped and counted.
        schedule_delay_ms: how long a thing waits at most before its batch leaves.
        what: the plural, for the thread's name and the one warning about a loss.
    """

    def __init__(
        self,
        send: Callable[[list[T]], bool],
        *,
        max_queued: int,
        schedule_delay_ms: int,
        max_batch: int,
        what: str,
    ) -> None:
        self._send = send
        self._max_queued = max_queued
        self._schedule_delay_s = schedule_delay_ms / 1000
        self._max_batch = max_batch
        self._what = what
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._exporting = False
        self._flushing = False
        self._stopping = False
        self._warned = False
        self.exported = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"{what}-export", daemon=True)
        self._thread.start()

    def put(self, thing: T) -> None:
        with self._changed:
            if self._stopping or len(self._queue) >= self._max_queued:
                self.dropped += 1
                return
            self._queue.append(thing)
            if len(self._queue) == self._max_batch:
                self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export all that is queued; False when the time was not enough."""
        deadline_s = time.monotonic() + timeout_millis / 1000
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            try:
                while self._queue or self._exporting:
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0:
                        return False
                    self._changed.wait(left_s)
            finally:
                self._flushing = False
        return True

    def stop(self, close: Callable[[], None]) -> None:
        """Stop at once; what is still queued counts as dropped. Call `force_flush` before.

        Args:
            close: closes the exporter, which also interrupts its retries.
        """
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            self.dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        close()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if not batch:
                continue
            exported = self._export(batch)
            with self._changed:
                self._exporting = False
                if exported:
                    self.exported += len(batch)
                else:
                    self.dropped += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[T] | None:
        """Wait for the delay, a full batch or a flush; None when stopping."""
        with self._changed:
            if not self._flushing and len(self._queue) < self._max_batch:
                self._changed.wait(self._schedule_delay_s)
            if self._stopping:
                return None
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]
            self._exporting = bool(batch)
            return batch

    def _export(self, batch: list[T]) -> bool:
        try:
            exported = self._send(batch)
        except Exception:  # an exporter's fault must not end the thread; the loss is counted and said once
            logger.debug("export of %s failed", self._what, exc_info=True)
            exported = False
        if not exported and not self._warned and not self._stopping:
            self._warned = True
            logger.warning("%s cannot be exported and are dropped; is the OTLP endpoint up?", self._what)
        return exported
