"""OTLP metric requests to the columns of `metrics_recent`: one row for each data point of any kind."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.columns import (
    as_table,
    decode_canonical,
    expand,
    ids_or_null,
    named,
    open_envelope,
    parent_index,
    rebuild_lists,
    times,
    times_or_null,
)
from collector.decode.variant import check_oneof, encode_attributes, variant_field
from collector.signals import Signal

TEMPORALITIES = ["UNSPECIFIED", "DELTA", "CUMULATIVE"]
_EXEMPLAR_FIELDS = [
    pa.field("time", pa.timestamp("ns")),
    pa.field("value_double", pa.float64()),
    pa.field("value_int", pa.int64()),
    pa.field("trace_id", pa.string()),
    pa.field("span_id", pa.string()),
    variant_field("filtered_attributes"),
]

Columns = dict[str, pa.Array]


def decode_metrics(payloads: list[bytes]) -> list[pa.Table]:
    """`ExportMetricsServiceRequest` bytes to one table for each kind of metric that is present.

    The tables differ in columns; what a kind does not have is left out.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.METRICS, _decode, payloads)


def _decode(requests: pa.RecordBatch) -> list[pa.Table]:
    metrics, origin = open_envelope(requests, "scope_metrics", "metrics")
    check_oneof(metrics, list(_KINDS))
    shared = {
        "metric_name": metrics.field("name"),
        "metric_description": metrics.field("description"),
        "metric_unit": metrics.field("unit"),
        "metric_metadata": encode_attributes(metrics.field("metadata")),
        **origin,
    }
    tables = [_decode_kind(metrics.field(kind), kind, shared, own) for kind, own in _KINDS.items()]
    return [table for table in tables if table.num_rows]


def _decode_kind(
    data: pa.StructArray, kind: str, shared: Columns, own: Callable[[pa.StructArray], Columns]
) -> pa.Table:
    lists = data.field("data_points")
    points = lists.flatten()
    metric_of_point = parent_index(lists)
    columns = {
        **expand(shared, metric_of_point),
        "metric_kind": pa.repeat(kind, len(points)),
        "start_time": times_or_null(points.field("start_time_unix_nano")),
        "time": times(points.field("time_unix_nano")),
        "flags": points.field("flags"),
        "attributes": encode_attributes(points.field("attributes")),
        **own(points),
    }
    names = [field.name for field in data.type]
    if "aggregation_temporality" in names:
        temporality = named(data.field("aggregation_temporality"), TEMPORALITIES)
        columns |= expand({"temporality": temporality}, metric_of_point)
    if "is_monotonic" in names:
        columns |= expand({"is_monotonic": data.field("is_monotonic")}, metric_of_point)
    return as_table(columns)


def _number(points: pa.StructArray) -> Columns:
    check_oneof(points, ("as_double", "as_int"))
    return {
        "value_double": points.field("as_double"),
        "value_int": points.field("as_int"),
        "exemplars": _exemplars(points.field("exemplars")),
    }


def _histogram(points: pa.StructArray) -> Columns:
    return {
        **_distribution(points),
        "bucket_counts": points.field("bucket_counts"),
        "explicit_bounds": points.field("explicit_bounds"),
    }


def _exponential_histogram(points: pa.StructArray) -> Columns:
    positive, negative = points.field("positive"), points.field("negative")
    parts = {
        "scale": points.field("scale"),
        "zero_count": points.field("zero_count"),
        "zero_threshold": points.field("zero_threshold"),
        "positive_offset": pc.fill_null(positive.field("offset"), 0),
        "positive_counts": positive.field("bucket_counts"),
        "negative_offset": pc.fill_null(negative.field("offset"), 0),
        "negative_counts": negative.field("bucket_counts"),
    }
    exponential = pa.StructArray.from_arrays(list(parts.values()), names=list(parts))
    return {**_distribution(points), "exponential": exponential}


def _distribution(points: pa.StructArray) -> Columns:
    return {
        **{name: points.field(name) for name in ("count", "sum", "min", "max")},
        "exemplars": _exemplars(points.field("exemplars")),
    }


def _summary(points: pa.StructArray) -> Columns:
    return {
        "count": points.field("count"),
        "sum": points.field("sum"),
        "quantiles": points.field("quantile_values"),
    }


def _exemplars(lists: pa.ListArray) -> pa.ListArray:
    exemplars = lists.flatten()
    check_oneof(exemplars, ("as_double", "as_int"))
    return rebuild_lists(
        lists,
        pa.StructArray.from_arrays(
            [
                times_or_null(exemplars.field("time_unix_nano")),
                exemplars.field("as_double"),
                exemplars.field("as_int"),
                ids_or_null(exemplars.field("trace_id"), 16),
                ids_or_null(exemplars.field("span_id"), 8),
                encode_attributes(exemplars.field("filtered_attributes")),
            ],
            fields=_EXEMPLAR_FIELDS,
        ),
    )


_KINDS: dict[str, Callable[[pa.StructArray], Columns]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
