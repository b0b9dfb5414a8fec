"""Decides which changes the baselines adopt.

- Slow drift in both quantiles: the history is rescaled, 2% at a time, at most `baseline_drift_per_day`.
- A stable new level that began with a deploy, and where no more calls fail than before: learned anew from the
  spans since, after `baseline_adopt_deploy_hours`. The incident that it has made itself does not hinder that.
- Any other stable new level: the same after `baseline_adopt_level_hours`, if no incident is open on it.
- What an engineer says is normal now: at once.
- Anything else, such as minutes and hours of trouble, what rises on and on, what fails: never.

A sketch is a histogram of logarithms, so rescaling moves its buckets: all hours of the week follow a drift
at once, those too that will come only in days. An incident that a person has acknowledged is known and
hinders only drift, and a deploy that it is older than.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines, Model
from detectors.baseline.sketch_index import DURATION
from detectors.learning import change_tests as lasting
from detectors.learning import versions
from detectors.learning.deployments import deployed
from detectors.learning.level_history import FAILED, SLOT_NS, SLOTS_PER_DAY, Level, LevelHistory
from detectors.learning.level_store import read_levels, save_levels
from detectors.learning.versions import DEPLOY, DRIFT, ENGINEER, Version
from detectors.model.operation import Operation
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import GAMMA, LOG_GAMMA

_QUERIES = "detectors.learning.queries"
_SLOTS_PER_HOUR = 4
# So many traces of a level are learned: 5,000 give 1% within 0.3 standard errors of a p99.
_TRACES_MAX = 5_000
_NO_END = 2**62


class Trouble(NamedTuple):
    """An incident that has not ended, of one operation."""

    incident_id: str
    state: str
    first_span_unix_nano: int


class ErrorRates(Protocol):
    """The learner of failure rates: `detectors.pipeline.detector_set`."""

    def usual_errors(self, operation: Operation) -> float | None: ...

    def adopt_errors(self, operation: Operation, calls: int, failed: int) -> None: ...


class Adoption:
    """Decides after each finished quarter of an hour. The learner owns it; not thread-safe."""

    def __init__(self, store: Store, baselines: Baselines, settings: Settings, errors: ErrorRates) -> None:
        self._store = store
        self._baselines = baselines
        self._settings = settings
        self._errors = errors
        self._history = LevelHistory(baselines)
        self._finished: list[Level] = []
        self._drifted: dict[Operation, int] = {}  # the slot of the last rescaling
        for level in read_levels(store):
            self._history.restore(level)

    def observe(self, spans: pa.Table) -> None:
        """Take spans that are being learned: columns of `queries/settled_spans.sql`."""
        self._finished += self._history.observe(spans)

    def decide(self, upto_batch_id: int, now_unix_nano: int) -> list[Version]:
        """Adopt what has lasted, now that some quarters are over; returns what was adopted.

        Args:
            upto_batch_id: the newest learned batch; later spans are not read.
        """
        if not self._finished:
            return []
        finished, self._finished = self._finished, []
        save_levels(self._store, finished)
        trouble: dict[Operation, list[Trouble]] | None = None
        adopted = []
        for operation in dict.fromkeys(level.operation for level in finished):
            levels = self._history.of(operation)
            found, drifted = lasting.step(levels), lasting.drift(levels)
            failing = self._failing(operation, levels)
            if found is None and failing is None and not drifted:
                continue
            trouble = self._trouble() if trouble is None else trouble
            there = trouble.get(operation, [])
            known = all(incident.state == "acknowledged" for incident in there)
            if failing is not None and known:
                adopted.append(self._take_errors(operation, failing, DRIFT, now_unix_nano, {}))
            version = None
            if found is not None:
                version = self._take_step(operation, found, there, upto_batch_id, now_unix_nano)
            if version is None and drifted and not there:
                version = self._follow(operation, drifted, now_unix_nano)
            if version is not None:
                adopted.append(version)
        return adopted

    def expected(
        self,
        operation: Operation,
        since_unix_nano: int,
        until_unix_nano: int | None,
        *,
        upto_batch_id: int,
        now_unix_nano: int,
        evidence: dict[str, Any],
    ) -> Version | None:
        """An engineer says that this is normal; None when the operation has no baseline or no such span.

        Args:
            until_unix_nano: None while it lasts. What is over is added to the history, what lasts takes its
                place; as long as only few spans show it, the history is rescaled.
            evidence: who says so, of which incident.
        """
        model = self._model(operation, since_unix_nano)
        until = _NO_END if until_unix_nano is None else until_unix_nano
        deltas = self._learned_since(operation, since_unix_nano, until, upto_batch_id)
        p50, p90 = versions.median_and_p90(deltas)
        if model is None or math.isnan(p50):
            return None
        few = _count(deltas) < self._settings.detect_min_cell_samples
        way = (
            versions.ADDED if until_unix_nano is not None else versions.RESCALED if few else versions.REPLACED
        )
        version = _version(
            operation,
            ENGINEER,
            way,
            model,
            (p50, p90),
            began=since_unix_nano,
            now=now_unix_nano,
            count=_count(deltas),
            evidence=evidence,
        )
        if way == versions.ADDED:
            versions.add(self._store, self._baselines, version, deltas)
        elif way == versions.RESCALED:
            buckets = round(math.log(p50 / model.tail.p50) / LOG_GAMMA)
            versions.rescale(self._store, self._baselines, version, buckets)
            self._history.rescale(operation, buckets * LOG_GAMMA)
        else:
            versions.replace(self._store, self._baselines, version, deltas)
            self._history.forget(operation)
        return version

    def expected_errors(
        self, operation: Operation, found: lasting.ErrorLevel, now_unix_nano: int, evidence: dict[str, Any]
    ) -> Version | None:
        """The same for how many of an operation's calls fail."""
        if not found.call_count or self._errors.usual_errors(operation) is None:
            return None
        return self._take_errors(operation, found, ENGINEER, now_unix_nano, evidence)

    def _failing(self, operation: Operation, levels: FloatArray) -> lasting.ErrorLevel | None:
        """A share of failed calls that has lasted and is not the usual one."""
        if not levels[-1, FAILED]:
            return None
        usual = self._errors.usual_errors(operation)
        if usual is None:
            return None
        return lasting.error_level(levels, usual, self._settings.baseline_adopt_level_hours)

    def _take_errors(
        self,
        operation: Operation,
        found: lasting.ErrorLevel,
        reason: str,
        now: int,
        evidence: dict[str, Any],
    ) -> Version:
        rates = self._errors
        version = Version(
            operation=operation,
            measure=versions.ERROR,
            reason=reason,
            way=versions.REPLACED,
            adopted_unix_nano=now,
            began_unix_nano=found.first_slot * SLOT_NS,
            from_value=rates.usual_errors(operation) or 0.0,
            to_value=found.failed_count / found.call_count,
            sample_count=found.call_count,
            evidence=evidence,
        )
        with self._store.transaction() as con:
            versions.save_version(con, version)
        rates.adopt_errors(operation, found.call_count, found.failed_count)
        return version

    def _take_step(
        self, operation: Operation, found: lasting.Step, there: list[Trouble], upto: int, now: int
    ) -> Version | None:
        """A level that has lasted long enough becomes the baseline."""
        settings = self._settings
        hours = found.slot_count / _SLOTS_PER_HOUR
        if not found.stable or found.sample_count < settings.detect_min_samples:
            return None
        began = found.first_slot * SLOT_NS
        model = self._model(operation, began)
        if model is None:
            return None
        evidence: dict[str, Any] = {"hours": hours, "incidents": [t.incident_id for t in there]}
        own = all(t.first_span_unix_nano >= began - SLOT_NS for t in there)
        reason = None
        if hours >= settings.baseline_adopt_deploy_hours and own and not lasting.errors_rose(found):
            changed = deployed(self._store, operation, found) if found.begun_before else []
            if changed:
                reason, evidence["changed"] = DEPLOY, changed
        known = all(t.state == "acknowledged" for t in there)
        if reason is None and hours >= settings.baseline_adopt_level_hours and known:
            reason = DRIFT
        if reason is None:
            return None
        # The first quarter holds the change itself.
        since = began + SLOT_NS
        deltas = self._learned_since(operation, since, _NO_END, upto)
        count = _count(deltas)
        if count < settings.detect_min_samples:
            return None
        version = _version(
            operation,
            reason,
            versions.REPLACED,
            model,
            versions.median_and_p90(deltas),
            began=began,
            now=now,
            count=count,
            evidence=evidence,
        )
        versions.replace(self._store, self._baselines, version, deltas)
        self._history.forget(operation)
        return version

    def _follow(self, operation: Operation, drifted: float, now: int) -> Version | None:
        """Rescale by one bucket, 2%, if the last time is long enough ago."""
        newest = int(self._history.of(operation)[-1, 0])
        per_day = math.log1p(self._settings.baseline_drift_per_day)
        if per_day < LOG_GAMMA / SLOTS_PER_DAY:
            return None
        pause = SLOTS_PER_DAY * LOG_GAMMA / per_day
        model = self._model(operation, newest * SLOT_NS)
        if model is None or newest - self._drifted.get(operation, 0) < pause:
            return None
        buckets = 1 if drifted > 0 else -1
        levels = self._history.of(operation)
        tail, factor = model.tail, GAMMA**buckets
        version = Version(
            operation=operation,
            measure=DURATION,
            reason=DRIFT,
            way=versions.RESCALED,
            adopted_unix_nano=now,
            began_unix_nano=int(levels[0, 0]) * SLOT_NS,
            from_value=tail.p50,
            to_value=tail.p50 * factor,
            from_p90=tail.quantile(0.9),
            to_p90=tail.quantile(0.9) * factor,
            sample_count=int(levels[:, 1].sum()),
            evidence={"crept_log_ratio": round(drifted, 4), "hours": len(levels) / _SLOTS_PER_HOUR},
        )
        versions.rescale(self._store, self._baselines, version, buckets)
        self._history.rescale(operation, buckets * LOG_GAMMA)
        self._drifted[operation] = newest
        return version

    def _learned_since(self, operation: Operation, since: int, until: int, upto: int) -> pa.Table:
        """Rows of `sketch_index.DELTA_SCHEMA` of an operation's spans, flagged or not."""
        params = {**dict(zip(("service", "operation", "kind"), operation, strict=True)), "upto": upto}
        spans = self._store.read(
            load_sql(_QUERIES, "spans_since"),
            {**params, "since": since, "until": until, "most": _TRACES_MAX},
        )
        return versions.of_operation(learn_times(spans), operation)

    def _model(self, operation: Operation, unix_nano: int) -> Model | None:
        return self._baselines.duration(*operation, int(hour_of_week(unix_nano)))

    def _trouble(self) -> dict[Operation, list[Trouble]]:
        found: dict[Operation, list[Trouble]] = {}
        for row in self._store.read(load_sql(_QUERIES, "operations_in_trouble")).to_pylist():
            key = Operation.of(row)
            incident = Trouble(row["incident_id"], row["state"], row["first_span_unix_nano"])
            found.setdefault(key, []).append(incident)
        return found


def _version(
    operation: Operation,
    reason: str,
    way: str,
    model: Model,
    to: tuple[float, float],
    *,
    began: int,
    now: int,
    count: int,
    evidence: dict[str, Any],
) -> Version:
    return Version(
        operation=operation,
        measure=DURATION,
        reason=reason,
        way=way,
        adopted_unix_nano=now,
        began_unix_nano=began,
        from_value=model.tail.p50,
        to_value=to[0],
        from_p90=model.tail.quantile(0.9),
        to_p90=to[1],
        sample_count=count,
        evidence=evidence,
    )


def _count(deltas: pa.Table) -> int:
    """Durations among rows of `sketch_index.DELTA_SCHEMA`."""
    return int(pc.sum(deltas.filter(pc.equal(deltas["measure"], DURATION))["sample_count"]).as_py() or 0)
