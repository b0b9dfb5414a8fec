"""A whole system that sends nothing any more: telemetry stopped, whatever the cause.

`detectors.spans.throughput` compares operations with the rest of the system, so it finds nothing when all of
it stops at once: the sender, the collector between, the network, or everything. This detector reports a pause
of

    max(120 s, 5 * the longest pause so far)

of the detector's own clock, after spans have come for five minutes in thirty passes. It reports once, until
spans come again. It accuses no operation, and shows the newest span that exists. A system that sleeps at
night is reported once; after that its pause is known.

>>> [least_pause_s(longest_s) for longest_s in (0.5, 60.0)]
[120.0, 300.0]
"""

from __future__ import annotations

from detectors.model.anomaly import STOPPED, THROUGHPUT
from detectors.settings import Settings
from detectors.stream.batch import Operations
from detectors.stream.detector import Detector, Input, Step, Verdict
from detectors.stream.exemplars import window_anomaly
from detectors.stream.newest_spans import NewestSpans

CELL = "telemetry"
_LEAST_PAUSE_S = 120.0
_PAUSES = 5.0
_KNOWN_S, _KNOWN_PASSES = 300.0, 30
_NS = 1_000_000_000
_BELOW = 0.01


def least_pause_s(longest_s: float) -> float:
    """The least pause after which telemetry counts as stopped."""
    return max(_LEAST_PAUSE_S, _PAUSES * longest_s)


class TelemetryWatch(Detector):
    """Follows whether any spans arrive. Not thread-safe; memory only: it learns anew after a start.

    stopped: whether telemetry has stopped; False again as soon as spans come.
    """

    name = "telemetry"
    detector = THROUGHPUT
    input = Input.SPANS

    def __init__(self, settings: Settings, operations: Operations, newest: NewestSpans) -> None:
        self._settings = settings
        self._operations = operations
        self._newest = newest
        self._begun_s: float | None = None
        self._last_s = 0.0
        self._longest_s = 0.0
        self._passes = self._spans = 0
        self.stopped = False

    def observe(self, step: Step) -> Verdict:
        if step.spans.num_rows:
            if self._begun_s is None:
                self._begun_s = self._last_s = step.now_s
            self._longest_s = max(self._longest_s, step.now_s - self._last_s)
            self._last_s, self.stopped = step.now_s, False
            self._passes += 1
            self._spans += step.spans.num_rows
            return Verdict()
        came_s = self._last_s - (self._begun_s if self._begun_s is not None else self._last_s)
        pause_s = step.now_s - self._last_s
        known = came_s >= _KNOWN_S and self._passes >= _KNOWN_PASSES
        if self.stopped or not known or pause_s < least_pause_s(self._longest_s):
            return Verdict()
        found = self._newest.newest()
        if found is None:
            return Verdict()
        code, row = found
        self.stopped = True
        rate = self._spans / came_s
        text = (
            f"no span of any service for {pause_s:.0f} s, usually {_rate_text(rate)}:"
            " the system, its sender or a collector between has stopped"
        )
        since = (row["start_unix_nano"] + max(row["duration_ns"], 0)) // _NS
        anomaly = window_anomaly(
            THROUGHPUT,
            row,
            self._operations.keys[code],
            self._settings,
            sigma=self._settings.severity_sigmas()[3] - _BELOW,  # SEV3, as for one silent operation
            observed=0.0,
            expected=rate,
            unit="spans/s",
            sample_count=self._passes,
            details={"text": text, "rule": STOPPED, "window_s": round(pause_s), "since_unix_s": since},
            subject=f"{STOPPED}|{row['span_id']}",
            cell=CELL,
        )
        return Verdict([anomaly] if anomaly else [])


def _rate_text(per_s: float) -> str:
    return f"{per_s:.0f} a second" if per_s >= 1 else f"{60 * per_s:.2g} a minute"
