"""The fields that every span has, by the names of TraceQL and one of ours, `anomaly`."""

from __future__ import annotations

from typing import NamedTuple

from collector.search.syntax import Type

# What may be written → the plain name.
INTRINSICS = {
    "name": "name",
    "status": "status",
    "statusMessage": "statusMessage",
    "kind": "kind",
    "duration": "duration",
    "childCount": "childCount",
    "rootName": "rootName",
    "rootServiceName": "rootServiceName",
    "traceDuration": "traceDuration",
    "nestedSetParent": "nestedSetParent",
    "anomaly": "anomaly",
    "span:name": "name",
    "span:status": "status",
    "span:statusMessage": "statusMessage",
    "span:kind": "kind",
    "span:duration": "duration",
    "span:childCount": "childCount",
    "span:id": "span:id",
    "span:parentID": "span:parentID",
    "trace:id": "trace:id",
    "trace:duration": "traceDuration",
    "trace:rootName": "rootName",
    "trace:rootService": "rootServiceName",
    "event:name": "event:name",
    "link:traceID": "link:traceID",
    "link:spanID": "link:spanID",
    "instrumentation:name": "instrumentation:name",
    "instrumentation:version": "instrumentation:version",
}


class Column(NamedTuple):
    """How a span shows a field: `sql` over the columns of `spans`, NULL where it has none."""

    type: Type
    sql: str


COLUMNS = {
    "name": Column(Type.TEXT, "span_name"),
    "status": Column(Type.STATUS, "status_code"),
    "statusMessage": Column(Type.TEXT, "status_message"),
    "kind": Column(Type.KIND, "span_kind"),
    "duration": Column(Type.NUMBER, "duration_ns"),
    # Grafana asks for roots by `nestedSetParent < 0`. A place in the tree is given to no other span.
    "nestedSetParent": Column(Type.NUMBER, "CASE WHEN parent_span_id IS NULL THEN -1 ELSE 1 END"),
    "span:id": Column(Type.TEXT, "span_id"),
    "span:parentID": Column(Type.TEXT, "parent_span_id"),
    "trace:id": Column(Type.TEXT, "trace_id"),
    "instrumentation:name": Column(Type.TEXT, "nullif(scope_name, '')"),
    "instrumentation:version": Column(Type.TEXT, "nullif(scope_version, '')"),
}
# Known once all spans of a trace are: columns that `evaluate` adds to them.
DERIVED = {
    "rootName": Column(Type.TEXT, "root_name"),
    "rootServiceName": Column(Type.TEXT, "root_service_name"),
    "traceDuration": Column(Type.NUMBER, "trace_duration_ns"),
    "childCount": Column(Type.NUMBER, "child_count"),
    "anomaly": Column(Type.SEVERITY, "severity"),
}
# A span has several: a comparison holds if it holds for one of them.
LISTED = {
    "event:name": Column(Type.TEXT, 'list_transform(events, lambda e: e."name")'),
    "link:traceID": Column(Type.TEXT, "list_transform(links, lambda e: e.trace_id)"),
    "link:spanID": Column(Type.TEXT, "list_transform(links, lambda e: e.span_id)"),
}
TYPES = {name: column.type for name, column in (COLUMNS | DERIVED | LISTED).items()}
