"""Refused calls: sigma = Phi^-1(1 - L * P(BetaBinomial(n, alpha, beta) >= k)), k of n answers with a 4xx.

A server that answers 401, 404 or 429 has not failed by OpenTelemetry's rules: its span has no status ERROR.
Each status of each operation has its own learned rate (`detectors.stats.beta_binomial`). So an operation that
always answers one call in five with 404 is still reported when it begins to answer 401. A window needs at
least five such answers in three different seconds (or, beyond doubt, in four quarters of a second), three
times the usual rate, and five points above it. SEV3 at most: the caller may be the one at fault.

>>> said(401), said(418)
('401 Unauthorized', '418')
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.model.anomaly import ERROR, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share
from detectors.model.text import share_text
from detectors.settings import Settings
from detectors.spans.error_rate import MEASURE as ERRORS
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stream.batch import Batch, Operations
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import Exemplars, window_anomaly
from detectors.stream.rate_rows import TABLE, rate_row, rate_state, rates_of

RULE = "refused"
_RULE = Rule(min_trials=300, min_hits=5, min_excess=0.05, prior_rate=0.002)
_SERIES_MAX = 10_000  # 2.3 kB each
_MOST_SEVERE = 3
_MEASURE = "refused"
_BELOW = 0.01
_WORDS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
}


def said(status: int) -> str:
    """A status with its usual name."""
    return f"{status} {_WORDS.get(status, '')}".rstrip()


class RefusalWatch(Detector):
    """Follows the 4xx answers of all operations. Not thread-safe."""

    name = "client_error_rate"
    detector = ERROR
    input = Input.SPANS
    tables = (TABLE,)

    def __init__(self, settings: Settings, operations: Operations) -> None:
        self._settings = settings
        self._known = operations
        self.rates = Rates(_RULE)
        self.series: list[tuple[int, int]] = []  # (operation, status) of each series
        self._codes: dict[tuple[int, int], int] = {}
        self._operations: IntArray = np.zeros(64, dtype=np.int64)  # of each series
        self._seen: FloatArray = np.zeros(64)  # spans of each operation, since the beginning
        self._exemplars = Exemplars()

    def observe(self, step: Step) -> Verdict:
        return Verdict([found for batch in step.batches for found in self.judge(batch, step.held)])

    def changed(self) -> list[State]:
        rows = []
        for series in np.flatnonzero(self.rates.changed[: self.rates.count]).tolist():
            operation, status = self.series[series]
            caller, callee = self._known.stored(operation), Operation("", str(status), "")
            rows.append(rate_row(_MEASURE, caller, callee, self.rates.past(series)))
        return rate_state(rows)

    def committed(self) -> None:
        self.rates.changed[:] = False

    def restore(self, rows: Rows) -> None:
        for row in rates_of(rows, _MEASURE):
            operation = self._known.code_stored(row["service_name"], row["operation"], row["span_kind"])
            if operation >= 0:
                past = (row["trial_count"], row["hit_count"])
                self.code(operation, int(row["callee_operation"]), past)
        # Calls of operations that never refused are counted too: a first refusal needs them as its past.
        for row in rates_of(rows, ERRORS):
            operation = self._known.code_stored(row["service_name"], row["operation"], row["span_kind"])
            if operation >= 0:
                self._reach(operation + 1)
                self._seen[operation] = max(self._seen[operation], row["trial_count"])

    def judge(self, batch: Batch, held: Sequence[int] = ()) -> list[Anomaly]:
        """Judge a batch. Learns nothing of the operations in `held`: these are in an incident."""
        series = np.flatnonzero(np.isin(self._operations[: len(self.series)], held))
        self.rates.move(batch.step.settled, batch.step.cleared, series.tolist())
        self._exemplars.forget(batch.head - WINDOWS_S[-1])
        status = batch.spans["http_status"].fill_null(0).to_numpy()
        rows = np.flatnonzero((status >= 400) & (status < 500) & ~batch.failed())
        places, which = np.unique(np.stack([batch.codes[rows], status[rows]]), axis=1, return_inverse=True)
        known = [self.code(operation, answered) for operation, answered in places.T.tolist()]
        self._count(batch)
        if not len(rows):
            return []
        codes = np.array(known, dtype=np.int64)[which.reshape(-1)]
        rows, codes = rows[codes >= 0], codes[codes >= 0]
        self.rates.add(codes, batch.ticks[rows], np.zeros(len(rows)), np.ones(len(rows)))
        self.rates.add_moments(codes, batch.ticks[rows], batch.ended()[rows])
        self._exemplars.keep(batch.spans, codes, batch.ticks[rows], rows)
        found: list[Anomaly] = []
        for alarm in self.rates.judge(np.unique(codes), batch.head):
            found += self._report(batch, alarm)
        return found

    def code(self, operation: int, status: int, past: tuple[float, float] | None = None) -> int:
        """The number of a series; -1 when there are too many series.

        A new series counts as never seen in all the operation's spans so far, unless its `past` is given.
        """
        known = self._codes.get((operation, status))
        if known is not None:
            return known
        if len(self.series) >= _SERIES_MAX:
            return -1
        code = self._codes[operation, status] = len(self.series)
        self.series.append((operation, status))
        if code >= len(self._operations):
            self._operations = np.concatenate([self._operations, np.zeros_like(self._operations)])
        self._operations[code] = operation
        self._reach(operation + 1)
        self._seen[operation] = max(self._seen[operation], past[0] if past else 0.0)
        self.rates.grow([0], [past or (float(self._seen[operation]), 0.0)])
        return code

    def _count(self, batch: Batch) -> None:
        size = len(batch.operations.keys)
        self._reach(size)
        self._seen[:size] += np.bincount(batch.codes, minlength=size)
        if not self.series:
            return
        for tick in np.unique(batch.ticks).tolist():
            spans = np.bincount(batch.codes[batch.ticks == tick], minlength=size)
            trials = spans[self._operations[: len(self.series)]]
            codes = np.flatnonzero(trials)
            self.rates.add(
                codes, np.full(len(codes), tick), trials[codes].astype(float), np.zeros(len(codes))
            )

    def _reach(self, size: int) -> None:
        while size > len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])

    def _report(self, batch: Batch, alarm: Alarm) -> list[Anomaly]:
        operation, status = self.series[alarm.code]
        share = alarm.hits / alarm.trials
        text = (
            f"{alarm.hits} of {alarm.trials} calls answered {said(status)} in {alarm.window_s} s, "
            f"usually {share_text(alarm.usual_rate)}"
        )
        most = self._settings.severity_sigmas()[6 - _MOST_SEVERE] - _BELOW
        details = {
            "text": text,
            "rule": RULE,
            "http_status": status,
            "span_sigma": 0.0,
            "shift_sigma": round(alarm.sigma, 3),
            "window_s": alarm.window_s,
            "refused": alarm.hits,
            "calls": alarm.trials,
        }
        found = (
            window_anomaly(
                ERROR,
                row,
                batch.operations.keys[operation],
                self._settings,
                sigma=min(bounded_by_share(alarm.sigma, share, self._settings), most),
                observed=share,
                expected=alarm.usual_rate,
                unit="share",
                sample_count=alarm.learned_trials,
                details=details,
                subject=f"{RULE}|{row['span_id']}",
            )
            for row in self._exemplars.take(alarm.code, batch.head, alarm.window_s)
        )
        return [anomaly for anomaly in found if anomaly]
