"""Figures over time of the spans that match a search: `{ … } | rate() by (resource.service.name)`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from collector.errors import InvalidInput
from collector.search.conditions import condition_sql, value_sql
from collector.search.evaluate import json_sql
from collector.search.first_look import FirstLook
from collector.search.results import field_name
from collector.search.search import check_regexes
from collector.search.syntax import Filter, Intrinsic, Metric, Query, Select, Type
from collector.search.times import S_NS, Range
from collector.search.tokens import fail
from collector.search.values import NeedsTrace, Params, Rows
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

STEPS_MAX = 11_000  # as in Prometheus
SERIES_MAX = 1_000
STEPS_DEFAULT = 60
_FIGURES = {
    "rate": "count(*) / ($step_ns::DOUBLE / 1e9)",
    "count_over_time": "count(*)::DOUBLE",
    "min_over_time": "min(figure)",
    "max_over_time": "max(figure)",
    "avg_over_time": "avg(figure)",
    "sum_over_time": "sum(figure)",
    "histogram_over_time": "count(*)::DOUBLE",
}


class Sample(NamedTuple):
    time_ns: int  # the end of its step
    value: float


class Series(NamedTuple):
    labels: dict[str, Any]
    samples: list[Sample]


class Metrics(NamedTuple):
    series: list[Series]
    truncated: bool  # there are more series than SERIES_MAX


def default_step_ns(span: Range) -> int:
    """A whole number of seconds that gives some 60 steps."""
    return max(S_NS, (span.until_ns - span.from_ns) // STEPS_DEFAULT // S_NS * S_NS)


def metrics(queries: QueryRunner, query: Query, span: Range, step_ns: int | None) -> Metrics:
    """
    Args:
        step_ns: how long each step is; steps begin at whole multiples of it. None: the range is one step.

    Raises:
        InvalidInput: the search asks for no figure, for whole traces, or for too many steps.
    """
    metric = query.metric
    if metric is None:
        raise InvalidInput("the search asks for no figure over time", hint="end it with e.g. | rate()")
    whole_ns, origin_ns = span.until_ns - span.from_ns, 0
    if step_ns is None:
        step_ns, origin_ns = whole_ns, span.from_ns
    if step_ns <= 0 or whole_ns // step_ns > STEPS_MAX:
        raise InvalidInput(f"more than {STEPS_MAX:,} steps", hint="take a longer step or a shorter range")
    check_regexes(queries, query)
    params = Params(
        {"from_ns": span.from_ns, "until_ns": span.until_ns, "step_ns": step_ns, "origin_ns": origin_ns}
    )
    sql = _sql(query, metric, params)
    rows = queries.run_own(sql, params.used_in(sql), limit_rows=SERIES_MAX * 100)
    found = _series(rows.table.to_pylist(), metric)
    return Metrics(found[:SERIES_MAX], rows.is_cut or len(found) > SERIES_MAX)


def _sql(query: Query, metric: Metric, params: Params) -> str:
    source = Rows(params)
    try:
        conditions = list(_conditions(query, metric, params, source))
        keys = [f"{json_sql(field, source)} AS k{i}" for i, field in enumerate(metric.by)]
        figure = "NULL::DOUBLE"
        if metric.operand is not None:
            figure = f"({value_sql(metric.operand, Type.NUMBER, source)})::DOUBLE"
    except NeedsTrace:
        fail(
            query.text,
            metric.position,
            f"{metric.function} takes single spans",
            "leave out root…, trace…, parent., childCount and anomaly",
        )
    if metric.operand is not None:
        if isinstance(metric.operand, Intrinsic) and metric.operand.name == "duration":
            figure = f"({figure} / 1e9)"  # seconds, as in Tempo
        conditions.append(f"{figure} IS NOT NULL")
    if metric.function == "histogram_over_time":
        # Powers of two, each bucket named by its upper end.
        keys.append(f"CASE WHEN {figure} > 0 THEN pow(2, ceil(log2({figure}))) ELSE 0 END AS bucket")
    names = [key.rpartition(" AS ")[2] for key in keys]
    shown = [f"quantile_cont(figure, {params.add(q)}) AS q{i}" for i, q in enumerate(metric.quantiles)]
    return load_sql("collector.search.queries", "metrics").format(
        figure=figure,
        keys="".join(f", {key}" for key in keys),
        names="".join(f", {name}" for name in names),
        condition=" AND ".join(conditions) or "true",
        shown=", ".join(shown) or f"{_FIGURES[metric.function]} AS q0",
    )


def _conditions(query: Query, metric: Metric, params: Params, source: Rows) -> Iterator[str]:
    for stage in query.pipeline.stages:
        match stage:
            case Filter(condition=None) | Select():
                pass
            case Filter(condition=condition):
                assert condition is not None
                exact = condition_sql(condition, source)
                yield f"({FirstLook(params, careful=True).of(stage)} AND {exact})"
            case _:
                fail(
                    query.text,
                    metric.position,
                    f"{metric.function} takes single spans",
                    "one filter before it",
                )


def _series(rows: list[dict[str, Any]], metric: Metric) -> list[Series]:
    found: dict[tuple[Any, ...], Series] = {}
    for row in rows:
        by = {field_name(field): _label(row[f"k{i}"]) for i, field in enumerate(metric.by)}
        if metric.function == "histogram_over_time":
            by["__bucket"] = row["bucket"]
        for i in range(max(1, len(metric.quantiles))):
            labels = dict(by)
            if metric.quantiles:
                labels["p"] = metric.quantiles[i]
            if not labels:
                labels["__name__"] = metric.function
            key = tuple(labels.items())
            series = found.setdefault(key, Series(labels, []))
            if row[f"q{i}"] is not None:
                series.samples.append(Sample(row["end_ns"], row[f"q{i}"]))
    return list(found.values())


def _label(text: str | None) -> Any:
    value = None if text is None else json.loads(text, parse_constant=str)
    return value if isinstance(value, str | int | float | None) else text
