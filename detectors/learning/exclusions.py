"""Keeps incidents out of the baselines: whole windows of the operations in them, and backwards in time.

So are the times in which an operation was suddenly faster.

An incident is recognised some seconds after it began. Until then spans of it may have been learned that
nothing had flagged; they are taken out again, as rows of negative counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.baseline.persist import append_sketches
from detectors.baseline.sketch_index import DURATION
from detectors.learning.versions import of_operation
from detectors.model.operation import Operation
from detectors.spans.speedup import Episode

_QUERIES = "detectors.learning.queries"
_NO_END = 2**62
# Passes of learning that can be taken back: half an hour at two seconds each, and an incident is recognised
# within five minutes.
_PASSES_KEPT = 900


class Window(NamedTuple):
    """A time in which nothing of this operation is learned."""

    operation: Operation
    incident_id: str
    since_unix_nano: int
    until_unix_nano: int


class Adopted(NamedTuple):
    """A level that has become normal: its flagged spans count, older spans may not."""

    operation: Operation
    replaced: bool
    began_unix_nano: int
    adopted_unix_nano: int


def kept_out(spans: pa.Table, windows: Iterable[Window], adopted: Iterable[Adopted]) -> pa.Table:
    """Mark what must not be learned, and unmark what has been adopted.

    Args:
        spans: columns of `queries/settled_spans.sql`; `in_incident`, `flagged` and `is_new` are changed.
    """
    start = spans["start_unix_nano"].to_numpy()
    names = ("is_new", "flagged", "in_incident")
    is_new, flagged, in_incident = (spans[name].to_numpy(zero_copy_only=False).copy() for name in names)
    for window in windows:
        within = (start >= window.since_unix_nano) & (start <= window.until_unix_nano)
        in_incident |= within & _is_operation(spans, window.operation)
    for level in adopted:
        own = _is_operation(spans, level.operation)
        normal = own & (start >= level.began_unix_nano) & (start <= level.adopted_unix_nano)
        flagged &= ~normal
        in_incident &= ~normal
        if level.replaced:
            is_new &= ~(own & (start < level.began_unix_nano))
    for name, column in zip(names, (is_new, flagged, in_incident), strict=True):
        spans = spans.set_column(spans.schema.get_field_index(name), name, pa.array(column))
    return spans


class Exclusion:
    """The learner owns it; not thread-safe."""

    def __init__(self, store: Store, baselines: Baselines) -> None:
        self._store = store
        self._baselines = baselines
        self._passes: deque[tuple[int, int]] = deque(maxlen=_PASSES_KEPT)  # (newest batch, when learned)
        self._first_batch: int | None = None  # the newest batch that a former run has learned
        self._done: dict[tuple[str, Operation], int] = {}
        for row in store.read("SELECT *, epoch_ns(since) AS since_unix_nano FROM unlearned").to_pylist():
            self._done[row["incident_id"], _key(row)] = row["since_unix_nano"]

    def mark(self, spans: pa.Table, episodes: Iterable[Episode]) -> pa.Table:
        """`kept_out` for the incidents, versions and times of sudden speed that overlap these spans."""
        if not spans.num_rows:
            return spans
        bounds = {
            "earliest": pc.min(spans["start_unix_nano"]).as_py(),
            "latest": pc.max(spans["start_unix_nano"]).as_py(),
        }
        windows = self._windows(bounds) + [Window(e[0], "", e[1], e[2]) for e in episodes]
        rows = self._store.read(
            load_sql(_QUERIES, "versions_since"), {"earliest": bounds["earliest"]}
        ).to_pylist()
        adopted = [
            Adopted(_key(row), row["replaced"], row["began_unix_nano"], row["adopted_unix_nano"])
            for row in rows
        ]
        return kept_out(spans, windows, adopted) if windows or adopted else spans

    def learned(self, after_batch_id: int, upto_batch_id: int, now_unix_nano: int) -> None:
        """Note that these batches have been learned."""
        if len(self._passes) == self._passes.maxlen:
            self._first_batch = self._passes[0][0]
        elif self._first_batch is None:
            self._first_batch = after_batch_id
        self._passes.append((upto_batch_id, now_unix_nano))

    def take_out(self, now_unix_nano: int) -> int:
        """Subtract what was learned of open incidents; returns how many durations."""
        if not self._passes or self._first_batch is None:
            return 0
        taken = 0
        for window in self._windows({"earliest": _NO_END, "latest": _NO_END}):
            place = (window.incident_id, window.operation)
            until = self._done.get(place, _NO_END)
            if window.since_unix_nano < until:
                taken += self._unlearn(window, until, now_unix_nano)
                self._done[place] = window.since_unix_nano
        return taken

    def _unlearn(self, window: Window, until: int, now_unix_nano: int) -> int:
        names = dict(zip(("service", "operation", "kind"), window.operation, strict=True))
        bounds = {"since": window.since_unix_nano, "until": until}
        batches = {"after": self._first_batch, "upto": self._passes[-1][0]}
        spans = self._store.read(load_sql(_QUERIES, "spans_learned"), {**names, **bounds, **batches})
        deltas = _negative(of_operation(learn_times(self._as_learned(spans)), window.operation))
        durations = deltas.filter(pc.equal(deltas["measure"], DURATION))
        count = -int(pc.sum(durations["sample_count"]).as_py() or 0)
        with self._store.transaction() as con:
            append_sketches(con, deltas)
            con.execute(
                load_sql(_QUERIES, "insert_unlearned"),
                {
                    **names,
                    "incident_id": window.incident_id,
                    "since": window.since_unix_nano,
                    "sample_count": count,
                    "now": now_unix_nano,
                },
            )
        self._baselines.unlearn(deltas)
        return count

    def _as_learned(self, spans: pa.Table) -> pa.Table:
        """The spans with the flags that they had when they were learned."""
        upto, when = (np.array(column, dtype=np.int64) for column in zip(*self._passes, strict=True))
        learned_at = when[np.searchsorted(upto, spans["batch_id"].to_numpy())]
        flagged_at = spans["flagged_unix_nano"].fill_null(_NO_END).to_numpy()
        return (
            spans.append_column("is_new", spans["is_own"])
            .append_column("flagged", pa.array(flagged_at <= learned_at))
            .append_column("in_incident", pa.repeat(False, spans.num_rows))
        )

    def _windows(self, bounds: dict[str, int]) -> list[Window]:
        rows = self._store.read(load_sql(_QUERIES, "kept_out"), bounds).to_pylist()
        return [
            Window(
                _key(row), row["incident_id"], row["since_unix_nano"],
                _NO_END if row["until_unix_nano"] is None else row["until_unix_nano"],
            )
            for row in rows
        ]  # fmt: skip


def _negative(deltas: pa.Table) -> pa.Table:
    """The learned rows to subtract; the number of flagged spans stays."""
    learned = deltas.filter(pc.invert(deltas["flagged"]))
    position = learned.schema.get_field_index("sample_count")
    return learned.set_column(position, learned.schema.field(position), pc.negate(learned["sample_count"]))


def _is_operation(spans: pa.Table, operation: Operation) -> np.ndarray[Any, np.dtype[np.bool_]]:
    same = [
        pc.equal(spans[name], value)
        for name, value in zip(("service_name", "operation", "span_kind"), operation, strict=True)
    ]
    found: np.ndarray[Any, np.dtype[np.bool_]] = pc.and_(pc.and_(same[0], same[1]), same[2]).to_numpy(
        zero_copy_only=False
    )
    return found


def _key(row: dict[str, Any]) -> Operation:
    return Operation.of(row)
