"""Failing calls: sigma = Phi^-1(1 - L * P(BetaBinomial(n, alpha, beta) >= k)), k of an operation's n calls.

Compares an operation's calls with status ERROR with its own learned rate. While the operation has few calls,
that rate leans on the rates of its service and of the system (`detectors.stats.beta_binomial`). An operation
that always fails once in ten calls is normal at one in ten. A window needs at least three failures in three
different seconds (or, beyond doubt, in four quarters of a second), three times the usual rate, and two points
above it. Each failed span of the window is an anomaly, so each anomaly refers to a stored span. Operations
that are called a few times a minute are judged by their newest calls (`rare_calls`), low rates that go on by
whole minutes (`lasting_errors`).

>>> from detectors.stats.beta_binomial import exceedance
>>> import numpy as np
>>> two_percent_for_long = (np.array([10.0]), np.array([490.0]))
>>> exceedance(np.array([1.0]), np.array([50.0]), *two_percent_for_long).round(1)
array([0.6])
>>> bool(exceedance(np.array([20.0]), np.array([50.0]), *two_percent_for_long)[0] < 1e-9)
True
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors.model.anomaly import ERROR, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share
from detectors.model.text import share_text
from detectors.settings import Settings
from detectors.spans.lasting_errors import LastingErrors
from detectors.spans.rare_calls import RareCalls
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stream.batch import Batch, Operations
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import Exemplars, window_anomaly
from detectors.stream.rate_rows import NOBODY, TABLE, rate_row, rate_state, rates_of

# Twenty calls say little; the prior of 30 trials accounts for that. With a hundred, a job that runs once a
# minute was not judged for its first two hours.
_RULE = Rule(min_trials=20)
MEASURE = "error"
# A rate that a person or a whole day has confirmed weighs as much as the spread of a window's rate allows.
_ADOPTED_CALLS_MIN = 200
_NS = 1_000_000_000


_ERRONEOUS_KEPT = 1_000


class Erroneous(NamedTuple):
    """A stretch of time in which an operation failed improbably often; failed spans in it belong to it.

    operation: service, name and kind; callee: the called service, empty where it is not known; calls, failed:
    of the newest window that was found.
    """

    operation: Operation
    callee: str
    since_unix_nano: int
    until_unix_nano: int
    sigma: float
    failed: int
    calls: int


class ErrorWatch(Detector):
    """Follows the status of all operations. Not thread-safe."""

    name = "error_rate"
    detector = ERROR
    input = Input.SPANS
    tables = (TABLE,)

    def __init__(self, settings: Settings, operations: Operations) -> None:
        self._settings = settings
        self._operations = operations
        self.rates = Rates(_RULE)
        self._exemplars = Exemplars()
        self._rare = RareCalls()
        self._lasting = LastingErrors()
        self.erroneous: deque[Erroneous] = deque(maxlen=_ERRONEOUS_KEPT)
        self._newest: dict[int, int] = {}  # the end of each series' newest stretch

    def observe(self, step: Step) -> Verdict:
        return Verdict([found for batch in step.batches for found in self.judge(batch, step.held)])

    def changed(self) -> list[State]:
        changed = np.flatnonzero(self.rates.changed[: self.rates.count]).tolist()
        rows = [
            rate_row(MEASURE, self._operations.stored(code), NOBODY, self.rates.past(code))
            for code in changed
        ]
        return rate_state(rows)

    def committed(self) -> None:
        self.rates.changed[:] = False

    def restore(self, rows: Rows) -> None:
        past = {
            self._operations.code_stored(row["service_name"], row["operation"], row["span_kind"]): (
                row["trial_count"],
                row["hit_count"],
            )
            for row in rates_of(rows, MEASURE)
        }
        codes = range(len(self._operations.keys))
        self.rates.grow(
            [self._operations.service(code) for code in codes], [past.get(code, (0.0, 0.0)) for code in codes]
        )

    def usual(self, codes: Sequence[int]) -> float | None:
        """The usual share of failed calls of these series; None while it is learned."""
        known = np.array([code for code in codes if code < self.rates.count], dtype=np.int64)
        calls = self.rates.past_trials[known]
        if calls.sum() < self.rates.rule.min_trials:
            return None
        return float(np.average(self.rates.usual(known), weights=calls))

    def adopt(self, code: int, calls: int, failed: int) -> None:
        """Make this rate, `failed` of `calls`, the usual one from now on."""
        if not 0 <= code < self.rates.count:
            return
        trials = float(max(calls, _ADOPTED_CALLS_MIN))
        self.rates.past_trials[code], self.rates.past_hits[code] = trials, trials * failed / max(calls, 1)
        self.rates.changed[code] = True
        self._lasting.forget(code)

    def judge(self, batch: Batch, held: Sequence[int] = ()) -> list[Anomaly]:
        """Judge a batch. Learns nothing of the operations in `held`: these are in an incident."""
        missing = range(self.rates.count, len(batch.operations.keys))
        self.rates.grow([batch.operations.service(code) for code in missing])
        self.rates.move(batch.step.settled, batch.step.cleared, held)
        failed = batch.failed()
        self.rates.add(batch.codes, batch.ticks, np.ones(len(failed)), failed.astype(np.float64))
        rows = np.flatnonzero(failed)
        self._exemplars.forget(batch.head - WINDOWS_S[-1])
        rare = self._rare.observe(batch, rows, self.rates)
        lasting = self._lasting.observe(self.rates, batch.head)
        if not len(rows) and not lasting:
            return []
        self.rates.add_moments(batch.codes[rows], batch.ticks[rows], batch.ended()[rows])
        self._exemplars.keep(batch.spans, batch.codes[rows], batch.ticks[rows], rows)
        found: list[Anomaly] = []
        judged = self.rates.judge(np.unique(batch.codes[rows]), batch.head)
        known = {alarm.code for alarm in judged}
        alarms = [*judged, *(alarm for alarm in lasting if alarm.code not in known)]
        shown = [(alarm, self._exemplars.take(alarm.code, batch.head, alarm.window_s)) for alarm in alarms]
        known |= {alarm.code for alarm in lasting}
        for alarm, spans in [*shown, *(one for one in rare if one[0].code not in known)]:
            share = alarm.hits / alarm.trials
            callee = batch.operations.callees[alarm.code]
            self._note(batch, alarm, callee)
            whom = f" of {callee}" if callee else ""
            text = (
                f"{alarm.hits} of {alarm.trials} calls{whom} failed in {alarm.window_s} s, "
                f"usually {share_text(alarm.usual_rate)}"
            )
            details = {
                "text": text,
                "span_sigma": 0.0,
                "shift_sigma": round(alarm.sigma, 3),
                "window_s": alarm.window_s,
                "failed": alarm.hits,
                "calls": alarm.trials,
                **({"callee": callee} if callee else {}),
            }
            for row in spans:
                anomaly = window_anomaly(
                    ERROR,
                    row,
                    batch.operations.keys[alarm.code],
                    self._settings,
                    sigma=bounded_by_share(alarm.sigma, share, self._settings),
                    observed=share,
                    expected=alarm.usual_rate,
                    unit="share",
                    sample_count=alarm.learned_trials,
                    details=details,
                )
                found += [anomaly] if anomaly else []
        return found

    def _note(self, batch: Batch, alarm: Alarm, callee: str) -> None:
        """Remember the stretch; it begins where the one before it ended."""
        until = (batch.head + 1) * _NS
        since = max(until - alarm.window_s * _NS, self._newest.get(alarm.code, 0))
        self._newest[alarm.code] = until
        operation = batch.operations.keys[alarm.code]
        self.erroneous.append(
            Erroneous(operation, callee, since, until, alarm.sigma, alarm.hits, alarm.trials)
        )
