"""Changes of a baseline beside learning, applied in the store and in memory alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.baseline.persist import append_sketches, save_fitted
from detectors.baseline.sketch_index import DURATION
from detectors.model.operation import Operation
from detectors.model.text import duration_text, share_text
from detectors.stats.sketch import GAMMA, Sketch

_QUERIES = "detectors.learning.queries"

DRIFT, DEPLOY, ENGINEER = "drift", "deploy", "engineer"
RESCALED, REPLACED, ADDED = "rescaled", "replaced", "added"
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Version:
    """A row of `baseline_versions`. Values are medians in ns, or shares of failed calls."""

    operation: Operation
    measure: str
    reason: str
    way: str
    adopted_unix_nano: int
    began_unix_nano: int
    from_value: float
    to_value: float
    sample_count: int
    from_p90: float | None = None
    to_p90: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One line for people.

        >>> Version(("shop", "buy", "SERVER"), "duration", "deploy", "replaced", 0, 0, 5e7, 8e7, 900).text
        'buy in shop: deploy, replaced, p50 50 ms is now 80 ms'
        """
        service_name, operation, _ = self.operation
        if self.measure == ERROR:
            values = f"{share_text(self.from_value)} of calls failed, now {share_text(self.to_value)}"
        else:
            values = f"p50 {duration_text(self.from_value)} is now {duration_text(self.to_value)}"
        return f"{operation} in {service_name}: {self.reason}, {self.way}, {values}"

    def row(self) -> dict[str, Any]:
        subject = "\x1f".join((*self.operation, self.measure, str(self.adopted_unix_nano)))
        service_name, operation, span_kind = self.operation
        return {
            "version_id": hashlib.sha256(subject.encode()).hexdigest()[:24],
            "adopted": self.adopted_unix_nano,
            "service_name": service_name,
            "operation": operation,
            "span_kind": span_kind,
            "measure": self.measure,
            "reason": self.reason,
            "way": self.way,
            "began": self.began_unix_nano,
            "from_value": self.from_value,
            "to_value": self.to_value,
            "from_p90": self.from_p90,
            "to_p90": self.to_p90,
            "sample_count": self.sample_count,
            "evidence": json.dumps(dict(self.evidence)),
        }


def rescale(store: Store, baselines: Baselines, version: Version, buckets: int) -> None:
    """Multiply the durations of an operation by γ^buckets (1.02 each)."""
    names = _names(version.operation)
    with store.transaction() as con:
        con.execute(load_sql(_QUERIES, "rescale_sketches"), {**names, "buckets": buckets})
        con.execute(load_sql(_QUERIES, "rescale_levels"), {**names, "factor": GAMMA**buckets})
        save_version(con, version)
    changed = baselines.rescale(version.operation, buckets)
    with store.transaction() as con:
        save_fitted(con, baselines, changed, version.adopted_unix_nano)


def replace(store: Store, baselines: Baselines, version: Version, deltas: pa.Table) -> None:
    """Forget the times of an operation, and learn these rows of `sketch_index.DELTA_SCHEMA`."""
    with store.transaction() as con:
        con.execute(load_sql(_QUERIES, "forget_sketches"), _names(version.operation))
        con.execute(load_sql(_QUERIES, "forget_levels"), _names(version.operation))
        append_sketches(con, deltas)
        save_version(con, version)
    changed = baselines.relearn(version.operation, deltas)
    with store.transaction() as con:
        save_fitted(con, baselines, changed, version.adopted_unix_nano)


def add(store: Store, baselines: Baselines, version: Version, deltas: pa.Table) -> None:
    """Learn further rows of `sketch_index.DELTA_SCHEMA`."""
    with store.transaction() as con:
        append_sketches(con, deltas)
        save_version(con, version)
    changed = baselines.add(deltas)
    with store.transaction() as con:
        save_fitted(con, baselines, changed, version.adopted_unix_nano)


def save_version(con: duckdb.DuckDBPyConnection, version: Version) -> None:
    con.execute(load_sql(_QUERIES, "insert_version"), version.row())


def of_operation(deltas: pa.Table, operation: Operation) -> pa.Table:
    """The rows of `sketch_index.DELTA_SCHEMA` of one operation."""
    names = zip(("service_name", "operation", "span_kind"), operation, strict=True)
    chosen = pc.equal(1, 1)
    for column, name in names:
        chosen = pc.and_(chosen, pc.equal(deltas[column], name))
    return deltas.filter(chosen)


def median_and_p90(deltas: pa.Table) -> tuple[float, float]:
    """Of the durations among rows of `sketch_index.DELTA_SCHEMA`; NaN without any."""
    times = deltas.filter(pc.equal(deltas["measure"], DURATION))
    sketch = Sketch.from_counts(times["bucket"].to_numpy(), times["sample_count"].to_numpy())
    return sketch.quantile(0.5), sketch.quantile(0.9)


def _names(operation: Operation) -> dict[str, Any]:
    return dict(zip(("service", "operation", "kind"), operation, strict=True))
