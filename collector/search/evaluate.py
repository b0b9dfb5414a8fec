"""Finds the spans of given traces that match a search: conditions in SQL, then sets of spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import numbers, truth
from collector.search.conditions import condition_sql, intrinsic_sql, value_sql
from collector.search.fields import COLUMNS
from collector.search.sets import Found, Spans, find
from collector.search.syntax import (
    Attribute,
    Expression,
    Filter,
    GroupBy,
    Intrinsic,
    Operation,
    Pipeline,
    ScalarFilter,
    Select,
    Spanset,
    Stage,
    Type,
)
from collector.search.values import NeedsTrace, Params, ReadColumns, Rows, Source, variant
from collector.store.sqlfile import load_sql

Field = Attribute | Intrinsic
_ANOMALY_JOIN = (
    "LEFT JOIN (SELECT trace_id, span_id, min(severity) AS severity FROM anomalies"
    " WHERE trace_id IN (FROM wanted) GROUP BY ALL) AS anomaly"
    " ON anomaly.trace_id = span.trace_id AND anomaly.span_id = span.span_id"
)
_CHILD_JOIN = (
    "LEFT JOIN (SELECT parent_n AS n, count(*) AS child_count FROM placed GROUP BY parent_n) AS children"
    " ON children.n = span.n"
)
_PARENT_JOIN = "LEFT JOIN placed AS parent ON parent.n = span.parent_n"


# Which spans of the traces fulfil a filter's condition on attributes. As a filter of a scan it reads one
# attribute; a value shown above the UNION ALL of `spans` has DuckDB put together all attributes of whole row
# groups: 20 traces in ten lake files took 1.2 s of CPU, now 0.47. Each is a scan: a search of many has none.
_MATCHED = """,
matched{i} AS MATERIALIZED (
    SELECT trace_id, span_id, span_kind, epoch_ns(start_time) AS start_ns, duration_ns
    FROM spans
    WHERE trace_id IN (FROM wanted) AND ({{windows}}) AND {condition}
)"""
_IS_MATCHED = (
    "(span.trace_id, span.span_id, span.span_kind, span.start_ns, span.duration_ns) IN (FROM matched{i})"
)
_MATCHED_MAX = 2


class Judged(NamedTuple):
    """All spans of some traces, and which of them were meant."""

    rows: pa.Table  # as `spans_of_traces.sql` names them, and `f0`, `f1` … as JSON text for the shown fields
    found: Found
    trace: np.ndarray  # number of each row's trace, from 0, in the order of `rows`


class Evaluation:
    """A search, ready to be asked of traces."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.params = Params()
        source = ReadColumns(self.params)
        parts = list(_parts(pipeline))
        self._filters = list(dict.fromkeys(part for part in parts if isinstance(part, Filter)))
        self._operands: list[Expression] = list(
            dict.fromkeys(
                part.aggregate.operand
                for part in parts
                if isinstance(part, ScalarFilter) and part.aggregate.operand is not None
            )
        )
        self._groups = list(dict.fromkeys(part for part in parts if isinstance(part, GroupBy)))
        selected = [field for part in parts if isinstance(part, Select) for field in part.fields]
        grouped = [
            key for group in self._groups for key in group.keys if isinstance(key, Attribute | Intrinsic)
        ]
        self.shown: list[Field] = list(dict.fromkeys([*selected, *grouped]))
        matched = _conditions_on_attributes(self._filters, self.params)
        values = [
            *(
                f"coalesce({_IS_MATCHED.format(i=i)}, false) AS m{i}"
                if i in matched
                else f"{_condition(part, source)} AS m{i}"
                for i, part in enumerate(self._filters)
            ),
            *(f"({value_sql(e, Type.NUMBER, source)})::DOUBLE AS a{i}" for i, e in enumerate(self._operands)),
            *(f"{json_sql(field, source)} AS f{i}" for i, field in enumerate(self.shown)),
        ]
        joins = [_PARENT_JOIN] if source.needs_parent else []
        if "anomaly" in source.derived:
            joins.append(_ANOMALY_JOIN)
        if "childCount" in source.derived:
            joins.append(_CHILD_JOIN)
        self._sql = load_sql("collector.search.queries", "spans_of_traces").format(
            columns="".join(f", {sql} AS {name}" for sql, name in source.columns.items()),
            values="".join(f", {value}" for value in values),
            joins=" ".join(joins),
            matched="".join(_MATCHED.format(i=i, condition=sql) for i, sql in matched.items()),
        )

    def statement(
        self, trace_ids: Sequence[str], windows: Sequence[tuple[int, int]]
    ) -> tuple[str, dict[str, object]]:
        """SQL that reads all spans of the traces, and its parameters.

        Args:
            windows: when these begin, in ns, both ends included.
        """
        params: dict[str, object] = {"trace_ids": list(trace_ids)}
        within = []
        for i, (first, last) in enumerate(windows):
            params |= {f"first{i}": first, f"last{i}": last}
            within.append(
                f"(start_time >= make_timestamp_ns($first{i}::BIGINT)"
                f" AND start_time <= make_timestamp_ns($last{i}::BIGINT))"
            )
        sql = self._sql.format(windows=" OR ".join(within) or "false")
        return sql, {**params, **self.params.used_in(sql)}

    def judge(self, rows: pa.Table) -> Judged:
        """
        Args:
            rows: what `statement` gave, of whole traces.
        """
        traces = _ranks(rows["trace_id"]) - 1
        spans = Spans(
            traces,
            _numbers(pc.fill_null(rows["parent_n"], -1)).astype(np.int64),
            {part: truth(_whole(rows[f"m{i}"])) for i, part in enumerate(self._filters)},
            {
                operand: _numbers(pc.fill_null(rows[f"a{i}"], float("nan")))
                for i, operand in enumerate(self._operands)
            },
            {group: self._key_numbers(group, rows) for group in self._groups},
        )
        return Judged(rows, find(self._pipeline, spans), traces)

    def _key_numbers(self, group: GroupBy, rows: pa.Table) -> np.ndarray:
        ranks = np.zeros((len(group.keys), rows.num_rows), dtype=np.int64)
        for i, key in enumerate(group.keys):
            assert isinstance(key, Attribute | Intrinsic)
            values = pc.fill_null(rows[f"f{self.shown.index(key)}"], "")
            ranks[i] = _ranks(values)
        return np.unique(ranks, axis=1, return_inverse=True)[1].reshape(-1)


# Arrow's own `to_numpy` imports pandas, which takes a second.
def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return numbers(_whole(column))


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """The number of each value among all distinct ones, from 1."""
    return numbers(pc.rank(column, tiebreaker="dense")).astype(np.int64)


def _conditions_on_attributes(filters: Sequence[Filter], params: Params) -> dict[int, str]:
    """Those that read attributes and need nothing but the span itself, by the number of the filter."""
    found: dict[int, str] = {}
    for i, part in enumerate(filters):
        if part.condition is None:
            continue
        try:
            sql = condition_sql(part.condition, Rows(params))
        except NeedsTrace:
            continue
        if "attributes[" in sql:
            found[i] = sql
    return found if len(found) <= _MATCHED_MAX else {}


def _condition(part: Filter, source: Source) -> str:
    return "true" if part.condition is None else condition_sql(part.condition, source)


def json_sql(field: Field, source: Source) -> str:
    """The field's value as JSON text, NULL without one."""
    if isinstance(field, Attribute):
        sql = source.value(f"({variant(field, source.params)})::JSON::VARCHAR", of_parent=field.of_parent)
        return f"nullif({sql}, 'null')"
    if field.name in COLUMNS and COLUMNS[field.name].type in (Type.STATUS, Type.KIND):
        return f"to_json(lower({intrinsic_sql(field, source)}))::VARCHAR"
    return f"to_json({intrinsic_sql(field, source)})::VARCHAR"


def _parts(stage: Stage | Spanset) -> Iterator[Stage]:
    match stage:
        case Pipeline():
            for inner in stage.stages:
                yield from _parts(inner)
        case Operation():
            yield from _parts(stage.left)
            yield from _parts(stage.right)
        case _:
            yield stage
