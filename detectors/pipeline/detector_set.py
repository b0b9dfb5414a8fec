"""Runs a step through all detectors in order, and keeps their state as one checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import pyarrow as pa

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.metrics.resource_growth import GrowthWatch
from detectors.model.anomaly import Anomaly
from detectors.model.operation import Operation
from detectors.orders.amount_columns import SCHEMA as AMOUNTS
from detectors.orders.prices import Prices
from detectors.pipeline import checkpoint
from detectors.pipeline.lookups import Lookups
from detectors.pipeline.registry import DETECTORS, Context, Registry
from detectors.scoring.stretches import Stretches
from detectors.settings import Settings
from detectors.spans.call_structure import StructureWatch
from detectors.spans.error_rate import ErrorWatch
from detectors.spans.latency import LatencyWatch
from detectors.spans.message_wait import MessageWaitWatch
from detectors.spans.nested import SpanKey
from detectors.spans.speedup import Episode, FasterWatch
from detectors.spans.telemetry_stop import CELL as TELEMETRY
from detectors.spans.telemetry_stop import TelemetryWatch
from detectors.stream.batch import Operations, batches
from detectors.stream.callers import CallerShares
from detectors.stream.detector import Detector, Input, State, Step, Verdict
from detectors.stream.event_time import Ring
from detectors.stream.newest_spans import NewestSpans
from detectors.stream.span_groups import SpanGroups, group_spans

_D = TypeVar("_D", bound=Detector)


class DetectorSet:
    """Not thread-safe, except `status`. Begins from the stored state of former runs."""

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        settings: Settings,
        now_s: float,
        registry: Registry = DETECTORS,
    ) -> None:
        self._store = store
        self._baselines = baselines
        self._settings = settings
        self._registry = registry
        self.status: dict[str, Any]  # as of the newest step; replaced, never changed
        self.reload(now_s)

    def reload(self, now_s: float) -> None:
        """Begin anew from the stored state."""
        self._ring = Ring()
        self.operations = Operations()
        self._newest = NewestSpans(self.operations)
        stored = Lookups(self._store, self._newest)
        context = Context(
            self._settings,
            self._baselines,
            self.operations,
            self._newest,
            Prices(),
            stored,
            CallerShares(),
        )
        self.detectors: list[Detector] = [make(context) for make in self._registry]
        checkpoint.restore(self._store, self.detectors)
        self._saved_s = {detector.name: now_s for detector in self.detectors}
        self._saving: list[Detector] = []
        self.status = self._status()

    def step(
        self,
        spans: pa.Table,
        now_s: float,
        *,
        amounts: pa.Table | None = None,
        groups: SpanGroups | None = None,
        held: Iterable[Operation] = (),
        least_sigma: float = 0.0,
    ) -> Step:
        """A step for the detectors from landed rows.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            amounts: rows of `amount_columns.SCHEMA`.
            groups: of these spans, where the caller has them.
            held: operations in incidents.
            least_sigma: the σ that a lone span needs.
        """
        groups = groups or group_spans(spans, self._baselines.duration)
        codes = sorted({code for operation in held for code in self.operations.codes(operation)})
        taken = list(batches(spans, self.operations, self._ring, groups))
        return Step(
            now_s=now_s,
            spans=spans,
            groups=groups,
            batches=taken,
            amounts=AMOUNTS.empty_table() if amounts is None else amounts,
            head_s=self._ring.head or 0,
            least_sigma=least_sigma,
            held=codes,
        )

    def observe(self, step: Step, *inputs: Input) -> Verdict:
        """Let the detectors of these inputs judge a step; without inputs, all except those of logs and
        metrics.
        """
        inputs = inputs or (Input.SPANS, Input.ORDERS)
        if Input.SPANS in inputs:
            for batch in step.batches:
                self._newest.advance(batch)
                for detector in self.detectors:
                    detector.advance(batch)
        new: list[Anomaly] = []
        raised: list[Anomaly] = []
        moved: list[Anomaly] = []
        for detector in self.detectors:
            if detector.input in inputs:
                verdict = detector.observe(step)
                new += verdict.new
                raised += verdict.raised
                moved += verdict.moved
                step.found += verdict.new
        self.status = self._status()
        return Verdict(new, raised, moved)

    def changed(self, now_s: float, *, everything: bool = False) -> list[State]:
        """The state that is due to be stored; `committed` says that it is."""
        self._saving = [
            detector
            for detector in self.detectors
            if everything or now_s - self._saved_s[detector.name] >= detector.saved_every_s
        ]
        return [state for detector in self._saving for state in detector.changed()]

    def committed(self, now_s: float) -> None:
        """Note that the last result of `changed` is stored."""
        for detector in self._saving:
            detector.committed()
            self._saved_s[detector.name] = now_s
        self._saving = []

    @property
    def enclosing(self) -> Collection[SpanKey]:
        """Slow spans of the newest step that a span within them explains."""
        return self._the(LatencyWatch).enclosing

    @property
    def episodes(self) -> list[Episode]:
        """Times in which an operation was suddenly faster."""
        return self._the(FasterWatch).episodes

    def callers(self, service_name: str) -> set[str]:
        """The services that were seen to call one, directly or not."""
        keys = self.operations.keys
        called_by: dict[str, set[str]] = {}
        for parent, child in self._the(StructureWatch).pairs:
            called_by.setdefault(keys[child][0], set()).add(keys[parent][0])
        found: set[str] = set()
        pending = [service_name]
        while pending:
            fresh = called_by.get(pending.pop(), set()) - found
            found |= fresh
            pending += fresh
        return found

    def lasting(self) -> set[str]:
        """The cells of events that go on although nothing new is said of them."""
        stopped = {TELEMETRY} if self._the(TelemetryWatch).stopped else set()
        return self._the(GrowthWatch).growing() | stopped

    def waits_to_learn(self, before_s: float) -> pa.Table:
        """Waits of messages until then that were not flagged; each is returned once."""
        return self._the(MessageWaitWatch).learned(before_s)

    def usual_errors(self, operation: Operation) -> float | None:
        """The share of failed calls that is usual; None while it is learned."""
        return self._the(ErrorWatch).usual(self.operations.codes(operation))

    def stretches(self) -> Stretches:
        """The newest stretches of time in which operations did not fare as usual."""
        return Stretches(
            list(self._the(ErrorWatch).erroneous),
            list(self._the(StructureWatch).missing.forgone),
            self._the(LatencyWatch).slowed(),
        )

    def adopt_errors(self, operation: Operation, calls: int, failed: int) -> None:
        """Set the usual failure rate to so many failed of so many calls."""
        for code in self.operations.codes(operation):
            self._the(ErrorWatch).adopt(code, calls, failed)

    def _the(self, kind: type[_D]) -> _D:
        return next(detector for detector in self.detectors if isinstance(detector, kind))

    def _status(self) -> dict[str, Any]:
        return {
            "operations": len(self.operations.keys),
            "calls": len(self._the(StructureWatch).pairs),
            "ready": self._the(ErrorWatch).rates.ready_count(),
        }
