"""Plays a folder of labelled incidents through live detection and returns the anomalies and incidents.

All spans, log lines and metric points go into a store of their own and are judged in passes of a second of
their time, baseline and test in the order in which they ended: the code, the settings and the clock of the
live path. Durations and amounts are compared with what was learned from the baseline rows alone; what the
window detectors learn on their way they learn as live, from all that they have not flagged.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from datasets.evaluate.incidents import NO_SIGNALS, Signals
from datasets.evaluate.live_causes import Raised, raised
from detectors.baseline.models import Baselines
from detectors.incidents.incident import Incident
from detectors.model.amounts import CALL_KINDS, ORDER_KINDS
from detectors.pipeline.detection import Detection
from detectors.pipeline.reader import Position, StoredSpans, apart
from detectors.pipeline.writer import Outcome, Writer
from detectors.scoring.stretches import Stretches
from detectors.settings import Settings
from detectors.stats.arrays import IntArray

_QUERIES = "datasets.evaluate.queries"
_PASS_NS = 1_000_000_000
_SILENT_S = 900  # of a pause that are watched: five times the longest pause that is usual within minutes
_NEVER = np.iinfo(np.int64).max
# Passes that are read at once: to ask the store in each for its second took 15 ms, half of a pass.
_PASSES_AHEAD = 500
# Passes that are written at once; one where amounts are judged, which ask for the whales that are stored.
_PASSES_WRITTEN = 100


@dataclass(frozen=True, slots=True)
class Replayed:
    """The results of live detection, each row with its `run`.

    anomalies: columns of `queries/replayed_anomalies.sql`.
    incidents: columns of `queries/replayed_incidents.sql`.
    raised: the same incidents with their causes.
    stretches: of each recording, when operations behaved unusually.
    """

    anomalies: pa.Table
    incidents: pa.Table
    raised: list[Raised]
    stretches: dict[str, Stretches]


def replay(
    spans: pa.Table,
    baselines: Baselines,
    settings: Settings,
    step: Callable[[str, int, int], None] = lambda *_: None,
    signals: Signals = NO_SIGNALS,
) -> Replayed:
    """Judge all spans, log lines and metric points of a folder, one recording after the other.

    Args:
        spans: columns of `queries/eval_all_spans.sql`, in its order; at least one.
        baselines: with durations and amounts of the baseline rows; gaps between messages are added.
        signals: a line without a trace is left out where there are several recordings.
    """
    runs = spans["run"].to_numpy(zero_copy_only=False)
    begins = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]]).tolist()
    found, all_raised = [], []
    stretches: dict[str, Stretches] = {}
    for number, (begin, end) in enumerate(zip(begins, [*begins[1:], spans.num_rows], strict=True)):

        def passed(name: str, done: int, total: int, number: int = number) -> None:
            step(name, number * total + done, len(begins) * total)

        said = signals if len(begins) == 1 else Signals(*(_of_run(rows, runs[begin]) for rows in signals))
        one = _replay_run(spans.slice(begin, end - begin), said, baselines, settings, passed)
        run = pa.repeat(runs[begin], one.anomalies.num_rows), pa.repeat(runs[begin], one.incidents.num_rows)
        all_raised += one.raised
        stretches[runs[begin]] = one.stretches[""]
        found.append((one.anomalies.append_column("run", run[0]), one.incidents.append_column("run", run[1])))
    anomalies, incidents = zip(*found, strict=True)
    return Replayed(pa.concat_tables(anomalies), pa.concat_tables(incidents), all_raised, stretches)


def _of_run(rows: pa.Table | None, run: str) -> pa.Table | None:
    return None if rows is None else rows.filter(pc.equal(rows["run"], run))


def _replay_run(
    spans: pa.Table,
    signals: Signals,
    baselines: Baselines,
    settings: Settings,
    step: Callable[[str, int, int], None],
) -> Replayed:
    ended = pc.add(spans["start_unix_nano"], spans["duration_ns"]).to_numpy()
    batch = batch_numbers(ended)
    last = np.flatnonzero(np.r_[batch[1:] != batch[:-1], True])
    learning = np.ones(len(last), dtype=np.bool_)
    judged = pc.equal(spans["split"], "test").to_numpy(zero_copy_only=False)
    learning[batch[judged] - 1] = False
    test_from = int(ended[judged].min()) if judged.any() else _NEVER
    with tempfile.TemporaryDirectory(prefix="spyhop-eval-") as folder:
        store = Store.open(Path(folder))
        try:
            with store.transaction() as con:
                _insert(con, "spans", spans, batch)
                for name, rows in zip(Signals._fields, signals, strict=True):
                    if rows is not None:
                        _insert(con, name, rows, landed_with(_times(rows), ended[last]))
            landed = FolderSpans(store, ended[last], signals)
            carried = baselines.names_with_amounts((*ORDER_KINDS, *CALL_KINDS))
            writer = _Gathered(store, passes=1 if carried else _PASSES_WRITTEN)
            detection = Detection(
                store,
                baselines,
                settings,
                float(ended[0]) / 1e9,
                landed=landed,
                position_every_s=math.inf,
                writer=writer,
            )
            incidents: dict[str, Incident] = {}
            for number, row in enumerate(last.tolist(), start=1):
                step("detect", number, len(last))
                now_ns = int(ended[row])
                if number > 1:
                    for silent_ns in silent_passes(int(ended[last[number - 2]]), now_ns):
                        detection.judge(number - 1, number - 1, silent_ns / 1e9, silent_ns)
                        incidents |= detection.tracker.open
                detection.judge(number - 1, number, now_ns / 1e9, now_ns)
                incidents |= detection.tracker.open  # each of them grows until it closes
                if learning[number - 1]:
                    settled_s = now_ns / 1e9 - settings.detect_learn_delay_s
                    baselines.add(detection.detectors.waits_to_learn(settled_s))
            writer.flush()
            return Replayed(
                store.read(load_sql(_QUERIES, "replayed_anomalies"), {"test_from": test_from}),
                store.read(load_sql(_QUERIES, "replayed_incidents")),
                [raised(incident) for incident in incidents.values() if incident.anomalies],
                {"": detection.detectors.stretches()},
            )
        finally:
            store.close()


class _Gathered(Writer):
    """Writes several passes of a replay at once, and nothing of the detectors' state: nobody begins from it.

    Row for row what the passes would have written one by one: 367 passes of a system with five faults took
    20.7 s of 78 (`strangers.py web`), of which a checkpoint each 16 ms, the commits 14.
    """

    def __init__(self, store: Store, passes: int) -> None:
        super().__init__(store)
        self._most = passes
        self._passes: list[tuple[Outcome, int]] = []

    def write(self, outcome: Outcome, now_unix_nano: int) -> None:
        grouped = outcome.grouped
        changed = {key: incident.snapshot() for key, incident in grouped.changed.items()}  # as they are now
        kept = replace(outcome, state=(), grouped=replace(grouped, changed=changed))
        self._passes.append((kept, now_unix_nano))
        if len(self._passes) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Store the remaining rows."""
        if self._passes:
            self.write_all(self._passes)
            self._passes = []


class FolderSpans:
    """A folder's telemetry as if it landed in one batch a pass (`detectors.pipeline.reader.Landed`)."""

    def __init__(self, store: Store, pass_ends: IntArray, signals: Signals) -> None:
        """
        Args:
            store: holds all of it, with the number of the pass as `batch_id`.
            pass_ends: when the last span of each pass ended, ns since 1970.
        """
        self._stored = StoredSpans(store)
        # Of each pass, how many rows have landed with it and before.
        self._totals = {
            name: [0] * (len(pass_ends) + 1) if rows is None else _totals(_times(rows), pass_ends)
            for name, rows in zip(("log_count", "metric_point_count"), signals, strict=True)
        }
        self._names: Sequence[str] = ()
        self._spans = _ReadAhead(lambda after, upto: self._stored.read(after, upto, self._names))
        self._lines = _ReadAhead(self._stored.lines)
        self._points = _ReadAhead(self._stored.points)

    def position(self, upto: int) -> Position:
        totals = {name: totals[upto] for name, totals in self._totals.items()}
        return {"batch_id": upto, "span_count": None, **totals}

    def spans(self, after: int, upto: int, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        if names != self._names:
            self._names = names
            self._spans.forget()
        return apart(self._spans.within(after, upto))

    def calls(self, after: int, upto: int, names: Sequence[str]) -> pa.Table:
        return self._stored.calls(after, upto, names)

    def lines(self, after: int, upto: int) -> pa.Table:
        return self._lines.within(after, upto)

    def points(self, after: int, upto: int) -> pa.Table:
        return self._points.within(after, upto)


class _ReadAhead:
    """Rows of some passes, read for many at once; in order of the pass, else as they were read."""

    def __init__(self, read: Callable[[int, int], pa.Table]) -> None:
        self._read = read
        self.forget()

    def forget(self) -> None:
        self._rows: pa.Table | None = None
        self._passes: IntArray = np.zeros(0, dtype=np.int64)  # of each row
        self._first, self._end = 0, 0  # which were read: (first, end]

    def within(self, after: int, upto: int) -> pa.Table:
        if self._rows is None or after < self._first or upto > self._end:
            self._first, self._end = after, max(upto, after + _PASSES_AHEAD)
            # Arrow sorts stably.
            self._rows = self._read(self._first, self._end).sort_by("batch_id").combine_chunks()
            self._passes = self._rows["batch_id"].to_numpy()
        begin, end = np.searchsorted(self._passes, [after, upto], side="right").tolist()
        return self._rows.slice(begin, end - begin)


def silent_passes(before_unix_nano: int, unix_nano: int) -> range:
    """When detection looks while nothing comes: live it does each second, here a few minutes of a pause.

    Whatever is told of a silence is told by then, and folders leave days out.

    >>> [at // 10**9 for at in silent_passes(5 * 10**9, 8 * 10**9)]
    [6, 7]
    >>> len(silent_passes(0, 86_400 * 10**9))
    900
    """
    until = min(unix_nano, before_unix_nano + _SILENT_S * _PASS_NS + 1)
    return range(before_unix_nano + _PASS_NS, until, _PASS_NS)


def _totals(unix_nano: IntArray, pass_ends: IntArray) -> list[int]:
    landed = np.bincount(landed_with(unix_nano, pass_ends), minlength=len(pass_ends) + 1)
    return [int(total) for total in np.cumsum(landed)]


def _times(rows: pa.Table) -> IntArray:
    return np.asarray(rows["unix_nano"].to_numpy(), dtype=np.int64)


def _insert(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, batch: IntArray) -> None:
    con.register(f"replayed_{name}", rows.append_column("batch_id", pa.array(batch)))
    con.execute(load_sql(_QUERIES, f"replay_{name}"))
    con.unregister(f"replayed_{name}")


def landed_with(unix_nano: IntArray, pass_ends: IntArray) -> IntArray:
    """The pass, from 1, in which what happened then is judged: the first that ends in that second or later.

    >>> landed_with(np.array([0, 999_999_999, 1_000_000_000, 9_000_000_000]), np.array([5, 2_000_000_000]))
    array([1, 1, 2, 2])
    """
    numbers: IntArray = np.searchsorted(pass_ends // _PASS_NS, unix_nano // _PASS_NS).astype(np.int64) + 1
    return np.minimum(numbers, len(pass_ends))


def batch_numbers(ended_unix_nano: IntArray) -> IntArray:
    """The pass of each span, from 1 without gaps; of at least one span, sorted as `ended_unix_nano` is."""
    seconds = np.unique(ended_unix_nano // _PASS_NS, return_inverse=True)[1].astype(np.int64)
    numbers: IntArray = seconds + 1
    return numbers
