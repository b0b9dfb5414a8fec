"""One pass of detection: batches in; anomalies, incidents, state and the new position out, in one commit.

Reader → DetectorSet → IncidentTracker and LoneFilter → Writer. What could not be written is kept and written
before the next pass: what was judged is in the memory of the detectors, and must neither be lost nor count
twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.incidents.lone_filter import HeldBack
from detectors.incidents.tracker import IncidentTracker
from detectors.model.amounts import CALL_KINDS, carried_text
from detectors.model.anomaly import AMOUNT, Anomaly
from detectors.model.text import amount_text, worth_text
from detectors.pipeline.detector_set import DetectorSet
from detectors.pipeline.reader import Landed, Reader, Reading
from detectors.pipeline.registry import DETECTORS, Registry
from detectors.pipeline.writer import Outcome, Writer
from detectors.settings import Settings
from detectors.stream.detector import Input, Step, Verdict
from detectors.stream.set_aside import SetAside

# A pass without findings has only its positions to write, which takes 6 ms; so they may lag by this much.
# After a crash these batches are judged once more, which changes nothing.
_POSITION_EVERY_S = 2.0
_log = logging.getLogger("spyhop.detectors")


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a pass."""

    span_count: int
    anomaly_count: int
    incident_ids: list[str]


class Detection:
    """Judges batches in order. The pipeline's thread owns it, but for `writer`, which any may call."""

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        settings: Settings,
        now_s: float,
        set_aside: SetAside | None = None,
        *,
        landed: Landed | None = None,
        position_every_s: float = _POSITION_EVERY_S,
        writer: Writer | None = None,
        registry: Registry = DETECTORS,
    ) -> None:
        """
        Args:
            landed: where spans come from, when not from the store.
            position_every_s: how far the stored position may lag behind passes that found nothing.
            writer: of anomalies and incidents; None: one that stores each pass at once.
        """
        self._baselines = baselines
        self._settings = settings
        self._reader = Reader(store, settings, set_aside or SetAside(store), landed)
        self.detectors = DetectorSet(store, baselines, settings, now_s, registry)
        self.tracker = IncidentTracker(settings, self.detectors.callers)
        self.writer = writer or Writer(store)
        self._lone = HeldBack(settings)
        self.tracker.open = self.writer.load_open(now_s)
        self._unwritten: tuple[Outcome, Reading | None] | None = None
        self._saved = self._reader.positions()
        self._saved_s = self._now_s = now_s
        self._position_every_s = position_every_s

    @property
    def position(self) -> int:
        """The newest batch that was judged and needs no second look."""
        return self._reader.position

    @property
    def signal_position(self) -> int:
        """The same for logs and metrics."""
        return self._reader.signal_position

    def ranges(self, upto: int) -> list[tuple[int, int]]:
        """The batches that are to be judged, as ranges of a size that one pass may take."""
        return self._reader.ranges(upto)

    def judge(
        self,
        after: int,
        upto: int,
        now_s: float,
        now_unix_nano: int,
        clock_ns: Callable[[], int] | None = None,
    ) -> Found:
        """Judge the batches in (after, upto], once what an earlier pass could not write is written.

        Args:
            now_s, now_unix_nano: when the pass began.
            clock_ns: the time at which rows are written; None: the time when the pass began.
        """
        now_ns = clock_ns or (lambda: now_unix_nano)
        before = self._write(now_s, now_ns) if self._unwritten else Found(0, 0, [])
        after, upto = max(after, self.position), max(upto, self.position)
        self._now_s = now_s
        with_amounts = self._settings.enable_amount_anomaly_detection
        names = self._baselines.names_with_amounts() if with_amounts else []
        callers = self._baselines.names_with_amounts(CALL_KINDS) if with_amounts else []
        reading = self._reader.read(after, upto, names, callers)
        try:
            outcome = self._judge(reading, now_s, now_unix_nano)
        except BaseException:
            # The detectors have taken half of a step, and its batches will be judged again.
            self._reload(now_s)
            raise
        if outcome is None:
            self._reader.passed(reading)
            return replace(before, span_count=before.span_count + reading.spans.num_rows)
        self._unwritten = (outcome, reading)
        found = self._write(now_s, now_ns)
        return Found(
            before.span_count + found.span_count,
            before.anomaly_count + found.anomaly_count,
            [*before.incident_ids, *found.incident_ids],
        )

    def pass_over(self, batch_id: int) -> None:
        """Go on behind a batch that cannot be judged, or whose anomalies cannot be written."""
        if self._unwritten:
            self._reload(self._now_s)
        self._reader.position = batch_id

    def save(self, now_s: float, now_unix_nano: int) -> None:
        """Store the position of detection and the state of its detectors."""
        if self._unwritten is None:
            state = self.detectors.changed(now_s, everything=True)
            if not state and self._saved == self._reader.positions():
                return
            self._unwritten = (
                Outcome(self._reader.positions(), state=state, open_ids=self._open_ids()),
                None,
            )
        self._write(now_s, lambda: now_unix_nano)

    def _judge(self, reading: Reading, now_s: float, now_unix_nano: int) -> Outcome | None:
        """The state that is due to be stored; None if there is none."""
        least = self._lone.count(reading.spans.num_rows, now_s)
        step = self.detectors.step(
            reading.spans,
            now_s,
            amounts=reading.amounts,
            held=self.tracker.troubled(),
            least_sigma=least,
        )
        verdict = self.detectors.observe(step)
        signals = self._of_signals(reading, step)
        new, moved = [*verdict.new, *signals.new], list(verdict.moved)
        self.tracker.still_lasts(self.detectors.lasting(), now_s)
        grouped = self.tracker.observe(
            now_s, now_unix_nano, step.groups.counts(), new, [*verdict.raised, *signals.raised]
        )
        raised, held = self._lone.settle(
            grouped, [*verdict.raised, *signals.raised], self.detectors.enclosing, least, now_s
        )
        for whale in moved:
            if incident := self.tracker.moved(whale):
                grouped.changed[incident.incident_id] = incident
        state = self.detectors.changed(now_s)
        due = now_s - self._saved_s >= self._position_every_s
        if not (grouped.anomalies or grouped.changed or moved or raised or held or state or due):
            return None
        return Outcome(
            {"detect": reading.upto, "signals": reading.signals_upto},
            reading.spans.num_rows,
            grouped,
            moved,
            raised,
            held,
            state,
            self._open_ids(),
        )

    def _of_signals(self, reading: Reading, step: Step) -> Verdict:
        """Anomalies of logs and metrics."""
        new: list[Anomaly] = []
        raised: list[Anomaly] = []

        def take(lines: pa.Table | None, points: pa.Table | None) -> None:
            step.lines, step.points = lines, points
            found = self.detectors.observe(step, Input.LOGS, Input.METRICS)
            new.extend(found.new)
            raised.extend(found.raised)

        self._reader.signals(reading, take)
        return Verdict(new, raised)

    def _write(self, now_s: float, now_ns: Callable[[], int]) -> Found:
        """Store unwritten results; those that fail stay unwritten."""
        if self._unwritten is None:
            return Found(0, 0, [])
        outcome, reading = self._unwritten
        self.writer.write(outcome, now_ns())
        self._unwritten = None
        self.detectors.committed(now_s)
        if reading is not None:
            self._reader.passed(reading)
        self._saved, self._saved_s = dict(outcome.positions), now_s
        _tell_whales(outcome.grouped.anomalies)
        return Found(outcome.span_count, len(outcome.grouped.anomalies), list(outcome.grouped.changed))

    def _open_ids(self) -> frozenset[str]:
        return frozenset(self.tracker.open)

    def _reload(self, now_s: float) -> None:
        """Begin anew from the stored state."""
        self._unwritten = None
        self.detectors.reload(now_s)
        self.tracker = IncidentTracker(self._settings, self.detectors.callers)
        self._lone = HeldBack(self._settings)
        self.tracker.open = self.writer.load_open(now_s)


def _tell_whales(anomalies: Sequence[Anomaly]) -> None:
    for whale in anomalies:
        if whale.detector == AMOUNT:
            _log.warning(
                "WHALE ALERT %s %s%s in %s %s against a median of %s: %.1f sigma, SEV%d, trace %s",
                carried_text(whale.details),
                amount_text(whale.observed, whale.unit),
                worth_text(whale.details),
                whale.service_name,
                whale.operation,
                amount_text(whale.expected, whale.unit),
                whale.sigma,
                whale.severity,
                whale.trace_id,
            )
