"""Finds causes in a thread of its own, for which detection never waits, with a small share of the machine."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from detectors.incidents.causes import CauseFinder

# After a look it rests for so many times as long as that took: a quarter of one core at most, however many
# incidents grow at once.
_REST_LOOKS = 3.0
_WAIT_MAX_S = 1.0  # a test may move the clock: look at it again this often
_PAUSE_AFTER_ERROR_S = 1.0
_log = logging.getLogger("spyhop.detectors")


class CauseWorker:
    """Looks at incidents as their looks become due, one after the other.

    An error ends that look alone: it is logged, stays in `error` until a look succeeds, and the incident is
    looked at again when its next look is due.
    """

    def __init__(self, finder: CauseFinder, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._finder = finder
        self._monotonic_s = monotonic_s
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._look_count = 0
        self._last_look_ms = 0.0
        self.error: str | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="causes", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Wake the worker: something may have become due."""
        self._news.set()

    def stop(self, timeout_s: float) -> None:
        """Look once at each incident that was never looked at, then return."""
        self._stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def status(self) -> dict[str, object]:
        return {"look_count": self._look_count, "last_look_ms": self._last_look_ms, "error": self.error}

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            took_s = self._try(first_only=False)
            if took_s is None:
                due_s = self._finder.next_s() - self._monotonic_s()
                self._news.wait(min(max(due_s, 0.0), _WAIT_MAX_S))
            else:
                self._stopping.wait(_REST_LOOKS * took_s + (_PAUSE_AFTER_ERROR_S if self.error else 0.0))
        while self._try(first_only=True) is not None:
            pass

    def _try(self, *, first_only: bool) -> float | None:
        """How long a look took; None when nothing was due."""
        began_s = time.monotonic()
        try:
            if not self._finder.look(self._monotonic_s(), first_only=first_only):
                return None
        except Exception as error:
            # Detection goes on without causes; /readyz shows it.
            self.error = f"finding causes: {type(error).__name__}: {error}"
            _log.exception("finding causes failed")
        else:
            self.error = None
            self._look_count += 1
        took_s = time.monotonic() - began_s
        self._last_look_ms = round(took_s * 1e3, 1)
        return took_s
