"""The spans and logs of localisation, prepared once for all sources.

The incident's traces and some usual ones stand in one table, so that both number operations in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.attribution.stalls import Stalls, Timeline, find_stalls
from detectors.model.operation import Operation
from detectors.stats.arrays import BoolArray, IntArray
from detectors.stats.sketch import EMPTY, Sketch
from detectors.trace.analysis import analyse_times
from detectors.trace.edges import Edges
from detectors.trace.self_time import NO_PARENT, PARENT_COLUMNS, parent_index

USUAL_TRACES_MAX = 500  # enough usual traces for an operation; more cost time and change no ranking
SPAN_COLUMNS = [
    "trace_id", "span_id", "parent_span_id", "service_name", "operation", "span_kind",
    "start_unix_nano", "duration_ns", "status_code", "status_message",
]  # fmt: skip
ATTRIBUTE_COLUMNS = ["trace_id", "span_id", "key", "value"]  # one row for each attribute of a span, as text
LOG_COLUMNS = ["trace_id", "span_id", "service_name", "severity_number", "body"]
# An operation is a call when this share of its spans calls another service. Its time without an answer is
# then not its own.
_CALL_SHARE = 0.3


def _unknown(*_key: str) -> Sketch:
    return EMPTY


@dataclass(frozen=True, slots=True)
class Usual:
    """What is normal.

    self_time: sketch of the self time of (service, operation, kind) in ns; empty where unknown.
    edge: sketch of the time between (service, operation, kind) of a caller and the service it called, in ns.
    spans, logs, attributes: some usual traces, whole; columns `SPAN_COLUMNS`, `LOG_COLUMNS` and
    `ATTRIBUTE_COLUMNS`; None without.
    """

    self_time: Callable[[str, str, str], Sketch] = _unknown
    edge: Callable[[str, str, str, str], Sketch] = _unknown
    spans: pa.Table | None = None
    logs: pa.Table | None = None
    attributes: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class Traces:
    """Aligned arrays, one element a span, of the incident's traces and then of usual ones.

    stalls: times in which everything stood still; `self_time_ns` and `edges` leave them out, except of the
    spans that caused them. held_ns: the time that all others lost by it.
    """

    table: pa.Table
    logs: pa.Table
    incident: BoolArray
    parent: IntArray
    aligned_start: IntArray  # on one clock (`detectors.trace.clocks`), ns
    operation: IntArray  # index into `keys`
    service: IntArray  # index into `services`
    self_time_ns: IntArray  # ns
    edges: Edges
    is_call: BoolArray
    keys: list[Operation]
    services: list[str]
    usual: Usual
    stalls: Stalls | None = None
    held_ns: float = 0.0
    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, spans: pa.Table, usual: Usual, logs: pa.Table | None = None, *, with_stalls: bool = True
    ) -> Traces:
        """
        Args:
            spans: the incident's traces, whole, at least one span; columns `SPAN_COLUMNS`.
            logs: their logs; columns `LOG_COLUMNS`.
            with_stalls: whether to look for moments in which everything stood still.
        """
        parts = [spans.select(SPAN_COLUMNS)]
        said = [logs.select(LOG_COLUMNS)] if logs is not None else []
        if usual.spans is not None and usual.spans.num_rows:
            parts.append(_without(usual.spans.select(SPAN_COLUMNS), spans["trace_id"]))
            if usual.logs is not None:
                said.append(_without(usual.logs.select(LOG_COLUMNS), spans["trace_id"]))
        table = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
        parent = parent_index(*(table[name] for name in PARENT_COLUMNS))
        start, duration = table["start_unix_nano"].to_numpy(), table["duration_ns"].to_numpy()
        operation, keys = _operations(table)
        services = sorted({key.service_name for key in keys})
        numbers = {name: number for number, name in enumerate(services)}
        service = np.array([numbers[key.service_name] for key in keys], dtype=np.int64)[operation]
        incident = np.arange(table.num_rows) < spans.num_rows
        found = analyse_times(parent, service, table["span_kind"], start, duration)
        edges, self_time, aligned_start = found.edges, found.self_time_ns, found.aligned_starts()
        stalls, held_ns = None, 0.0
        if with_stalls:
            trace = table["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()
            timeline = Timeline(trace, operation, start, duration, self_time, incident)
            stalls = find_stalls(timeline, keys, usual.self_time)
        if stalls is not None:
            end = np.where(incident, stalls.clock(start + duration), start + duration)
            start = np.where(incident, stalls.clock(start), start)
            duration = end - start
            found = analyse_times(parent, service, table["span_kind"], start, duration)
            moving, without = found.edges, found.self_time_ns
            without[stalls.rows] = self_time[stalls.rows]
            held_ns = float((self_time - without).sum() + (edges.time_ns - moving.time_ns).sum())
            edges, self_time = moving, without
        calls = np.zeros(len(keys))
        np.add.at(calls, operation[edges.caller], 1.0)
        is_call = calls >= _CALL_SHARE * np.bincount(operation, minlength=len(keys))
        return cls(
            table=table,
            logs=pa.concat_tables(said, promote_options="permissive") if said else _no_logs(),
            incident=incident,
            parent=parent,
            aligned_start=aligned_start,
            operation=operation,
            service=service,
            self_time_ns=self_time,
            edges=edges,
            is_call=is_call[operation],
            keys=keys,
            services=services,
            usual=usual,
            stalls=stalls,
            held_ns=held_ns,
        )

    def span(self, row: int) -> dict[str, Any]:
        """One span as a dictionary."""
        if row not in self._rows:
            self.prepare([row])
        return self._rows[row]

    def prepare(self, rows: Iterable[int]) -> None:
        """Read these spans for `span` at once: alone each costs 25 µs, among thousands 3."""
        missing = sorted(set(rows) - self._rows.keys())
        self._rows.update(
            zip(missing, self.table.take(pa.array(missing, pa.int64())).to_pylist(), strict=True)
        )

    def contexts(self, depth: int) -> IntArray:
        """A number for each span's operation together with those of its next `depth - 1` ancestors."""
        codes = self.operation.copy()
        ancestor = self.parent
        for _ in range(depth - 1):
            above = np.where(ancestor == NO_PARENT, len(self.keys), self.operation[np.maximum(ancestor, 0)])
            codes = np.unique(codes * (len(self.keys) + 1) + above, return_inverse=True)[1].astype(np.int64)
            ancestor = np.where(ancestor == NO_PARENT, NO_PARENT, self.parent[np.maximum(ancestor, 0)])
        return codes


def _operations(table: pa.Table) -> tuple[IntArray, list[Operation]]:
    columns = [table[name].combine_chunks() for name in Operation._fields]
    joined = pc.binary_join_element_wise(*columns, "\x1f").dictionary_encode()
    codes = joined.indices.to_numpy().astype(np.int64)
    first = np.unique(codes, return_index=True)[1]
    picked = table.select(list(Operation._fields)).take(pa.array(first)).to_pylist()
    return codes, [Operation(**row) for row in picked]


def _without(rows: pa.Table, trace_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["trace_id"], value_set=pc.unique(trace_ids))))


def _no_logs() -> pa.Table:
    types = [pa.int32() if name == "severity_number" else pa.string() for name in LOG_COLUMNS]
    return pa.schema(list(zip(LOG_COLUMNS, types, strict=True))).empty_table()
