"""Failures of operations that are called a few times a minute: p = L * P(BetaBinomial(n, alpha, beta) >= k).

Windows of seconds never contain three calls of a job that runs once a minute. So its newest calls are judged
whatever time they span: k failures among the newest n = 4, 8 or 12. The part of the operation's past that
these calls have already added is left out of alpha and beta. Otherwise the first failures would make the next
ones look usual.

Source: as `detectors.stats.beta_binomial`; a test of the newest n outcomes is a simple form of CUSUM.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.stats.arrays import IntArray
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates
from detectors.stream.batch import Batch

# The most calls a minute that are judged here; windows of seconds judge operations that are called more
# often.
CALLS_A_MINUTE = 6
_WINDOWS = (4, 8, 12)  # calls
_KEPT = _WINDOWS[-1]
_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns"]


class _Outcome(NamedTuple):
    tick: int
    row: dict[str, Any] | None  # the span, if it failed


class RareCalls:
    """The newest outcomes of operations that are called rarely. Not thread-safe; memory only."""

    def __init__(self) -> None:
        self._newest: dict[int, deque[_Outcome]] = {}
        self._reported: dict[int, int] = {}  # second of the newest reported failure of each operation

    def observe(
        self, batch: Batch, failed: IntArray, rates: Rates
    ) -> list[tuple[Alarm, list[dict[str, Any]]]]:
        """Judge a batch that `rates` has counted; returns alarms, each with the failed spans new in it.

        Args:
            failed: rows of the batch.
        """
        codes = np.unique(batch.codes)
        rare = codes[rates.recent_trials(codes, batch.head, WINDOWS_S[-1]) <= CALLS_A_MINUTE]
        for code in [code for code in codes.tolist() if code in self._newest]:
            if code not in rare:
                del self._newest[code]  # it is called often now
        rows = np.flatnonzero(np.isin(batch.codes, rare))
        bad = set(failed.tolist())
        taken = pa.array([row for row in rows.tolist() if row in bad], pa.int64())
        shown = iter(batch.spans.select(_COLUMNS).take(taken).to_pylist())
        touched: dict[int, None] = {}
        for row in rows.tolist():
            code = int(batch.codes[row])
            outcome = _Outcome(int(batch.ticks[row]), next(shown) if row in bad else None)
            self._newest.setdefault(code, deque(maxlen=_KEPT)).append(outcome)
            if row in bad:
                touched[code] = None
        found = []
        for code in touched:
            alarm = self._judge(code, rates)
            if alarm is not None:
                since = self._reported.get(code, -1)
                calls = [call for call in self._newest[code] if call.row is not None and call.tick > since]
                self._reported[code] = self._newest[code][-1].tick
                found.append((alarm, [call.row for call in calls if call.row is not None]))
        return found

    def _judge(self, code: int, rates: Rates) -> Alarm | None:
        calls = list(self._newest[code])
        failures = _failures(calls)
        windows = [(min(n, len(calls)), _failures(calls[-n:])) for n in _WINDOWS]
        seconds = len({call.tick for call in calls if call.row is not None})
        alarm = rates.judge_calls(code, windows, seconds, (len(calls), failures))
        if alarm is None:
            return None
        return alarm._replace(window_s=calls[-1].tick - calls[-alarm.trials].tick + 1)


def _failures(calls: Sequence[_Outcome]) -> int:
    return sum(call.row is not None for call in calls)
