"""Spares a server that gives no answers, and its callers the wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX_FAILURES: Final = 10
OPEN_S: Final = 1.0


class CircuitBreaker:
    """Opens after `MAX_FAILURES` requests in a row that got no answer. After `OPEN_S` one request may try;
    its answer closes the circuit. A 5xx is an answer: the server is there, and its errors are its own.

    Args:
        now_s: a clock that never goes back.

    >>> now_s = [0.0]
    >>> breaker = CircuitBreaker(lambda: now_s[0])
    >>> breaker.failed(), [breaker.failed() for _ in range(MAX_FAILURES - 1)][-1], breaker.wait_s()
    (False, True, 1.0)
    >>> now_s[0] = 1.0
    >>> breaker.wait_s(), breaker.wait_s(), breaker.answered(), breaker.wait_s()
    (0.0, 1.0, True, 0.0)
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._failures = 0
        self._open_until_s: float | None = None

    def wait_s(self) -> float:
        """How long to wait before asking; 0 where this request may go on."""
        if self._open_until_s is None:
            return 0.0
        wait_s = self._open_until_s - self._now_s()
        if wait_s > 0:
            return wait_s
        self._open_until_s = self._now_s() + OPEN_S  # the others wait for what becomes of this one
        return 0.0

    def answered(self) -> bool:
        """Note an answer; returns whether it closes the circuit."""
        was_open = self._open_until_s is not None
        self._failures, self._open_until_s = 0, None
        return was_open

    def failed(self) -> bool:
        """Note that no answer came; returns whether that opens the circuit."""
        self._failures += 1
        if self._failures < MAX_FAILURES:
            return False
        was_open = self._open_until_s is not None
        self._open_until_s = self._now_s() + OPEN_S
        return not was_open
