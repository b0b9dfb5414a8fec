"""Answers about the process itself, given at once even when the process is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Generic, TypeVar

Value = TypeVar("Value")

WAIT_S = 0.5


class Latest(Generic[Value]):
    """The result of a function that may have to wait for a lock or the database.

    It runs in a thread of its own. A caller waits for a result that is newer than its call, but no longer
    than `WAIT_S`, and then gets the last one.
    """

    def __init__(self, compute: Callable[[], Value], name: str) -> None:
        self._compute = compute
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._next: Future[None] | None = None  # a run that has not begun serves all callers
        self._value: Value | None = None
        self._since_s = monotonic()

    async def get(self) -> tuple[Value | None, float]:
        """The value, and for how many seconds the function has given no newer one; None before the first."""
        if self._next is None or self._next.running() or self._next.done():
            self._next = self._thread.submit(self._run)
        asked_s = monotonic()
        computed = asyncio.wrap_future(self._next)
        done, _ = await asyncio.wait({computed}, timeout=WAIT_S)
        for future in done:
            future.result()
        return self._value, 0.0 if done else max(0.0, asked_s - self._since_s) + WAIT_S

    def _run(self) -> None:
        self._value = self._compute()
        self._since_s = monotonic()
