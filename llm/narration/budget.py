"""Limits of model requests in an hour (calls, tokens, cost), and a pause after an endpoint that fails.

A sliding hour over the sent requests. Tokens are counted by the endpoint, else estimated at four characters
each; the cost follows from SPYHOP_GENAI_PRICES.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from llm.errors import FallbackReason, ModelFailed
from llm.settings import Settings

HOUR_S = 3600.0
# A dead endpoint costs each explanation its deadline (45 s). After three failures the next try is a minute
# later.
FAILURES_TO_OPEN = 3
OPEN_FOR_S = 60.0


@dataclass(frozen=True)
class Usage:
    """The tokens of one request."""

    at_s: float
    input_tokens: int
    output_tokens: int


class Budget:
    """The use of the last hour. Thread-safe. `clock_s` is monotonic."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float]) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._guard = threading.Lock()
        self._calls: deque[float] = deque()
        self._used: deque[Usage] = deque()
        self._failures = 0
        self._opened_s: float | None = None

    def take(self) -> None:
        """Count a request that will be sent now.

        Raises:
            ModelFailed: a limit of the hour is reached, or the endpoint has just failed several times.
        """
        with self._guard:
            now = self._clock_s()
            self._forget(now)
            if self._opened_s is not None and now - self._opened_s < OPEN_FOR_S:
                wait_s = OPEN_FOR_S - (now - self._opened_s)
                raise ModelFailed(
                    f"the model endpoint has failed {self._failures} times in a row; it is asked again in"
                    f" {wait_s:.0f} s",
                    reason="circuit_open",
                )
            limits = self._settings
            if len(self._calls) >= limits.llm_max_calls_per_hour:
                raise _over(f"{limits.llm_max_calls_per_hour} requests", "CALLS", "limit_calls")
            if self._tokens() >= limits.llm_max_tokens_per_hour:
                raise _over(f"{limits.llm_max_tokens_per_hour:,} tokens", "TOKENS", "limit_tokens")
            if limits.llm_max_cost_per_hour is not None and self._cost() >= limits.llm_max_cost_per_hour:
                raise _over(f"a cost of {limits.llm_max_cost_per_hour:g}", "COST", "limit_cost")
            self._calls.append(now)

    def spent(self, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of an answer."""
        with self._guard:
            self._used.append(Usage(self._clock_s(), input_tokens, output_tokens))

    def came(self) -> None:
        """Note that the endpoint answered."""
        with self._guard:
            self._failures, self._opened_s = 0, None

    def failed(self) -> None:
        """Note that the endpoint did not answer, or failed; after three times it is not asked for a while."""
        with self._guard:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._opened_s = self._clock_s()

    def _tokens(self) -> int:
        return sum(usage.input_tokens + usage.output_tokens for usage in self._used)

    def _cost(self) -> float:
        price = self._settings.price_of(self._settings.llm_model or "")
        assert price is not None, "settings with a limit of cost have the model's price"
        cost = sum(usage.input_tokens * price[0] + usage.output_tokens * price[1] for usage in self._used)
        return cost / 1e6

    def _forget(self, now: float) -> None:
        while self._calls and now - self._calls[0] >= HOUR_S:
            self._calls.popleft()
        while self._used and now - self._used[0].at_s >= HOUR_S:
            self._used.popleft()


def _over(limit: str, name: str, reason: FallbackReason) -> ModelFailed:
    return ModelFailed(
        f"the limit of {limit} an hour is reached (SPYHOP_LLM_MAX_{name}_PER_HOUR)", reason=reason
    )
