"""Whole traces as the OTLP messages that were sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from collector.decode.variant_bytes import value_of
from collector.errors import InvalidInput
from collector.search.times import LAST_NS, Range
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

# A span with nine attributes takes 120 µs of CPU to become a message, 60 more as Jaeger's JSON, 1.6 kB: 9 s
# for a look-up at most.
SPANS_MAX = 50_000
ALL_TIME = Range(0, LAST_NS)
UNKNOWN_SERVICE = "unknown_service"
_TRACE_ID = re.compile(r"[0-9a-f]{1,32}")


class Traces(NamedTuple):
    """Messages by trace id, one ResourceSpans for each resource. `is_cut`: not all spans are there."""

    by_id: dict[str, TracesData]
    is_cut: bool


def parse_trace_id(text: str) -> str:
    """As it is stored; leading zeros may be left out. Raises InvalidInput."""
    lower = text.strip().lower()
    if not _TRACE_ID.fullmatch(lower) or not lower.strip("0"):
        raise InvalidInput(
            f"{text[:100]!r} is not a trace id", hint="up to 32 hexadecimal digits, not all zero"
        )
    return lower.zfill(32)


def load_traces(
    queries: QueryRunner, trace_ids: Sequence[str], span: Range = ALL_TIME, *, spans_max: int = SPANS_MAX
) -> Traces:
    """
    Args:
        span: in which spans begin; a narrow one spares reading old hours.
    """
    params = {"trace_ids": list(trace_ids), "from_ns": span.from_ns, "until_ns": span.until_ns}
    fetched = queries.run_own(
        load_sql("collector.lookups.queries", "spans_by_trace"), params, limit_rows=spans_max
    )
    traces: dict[str, TracesData] = {}
    scopes: dict[tuple[Any, ...], ScopeSpans] = {}
    resources: dict[tuple[Any, ...], ResourceSpans] = {}
    for batch in fetched.table.to_batches(max_chunksize=2_048):
        for row in batch.to_pylist():
            trace = traces.setdefault(row["trace_id"], TracesData())
            _scope_of(row, trace, resources, scopes).spans.append(_span(row))
    return Traces(traces, fetched.is_cut)


def _scope_of(
    row: Mapping[str, Any],
    trace: TracesData,
    resources: dict[tuple[Any, ...], ResourceSpans],
    scopes: dict[tuple[Any, ...], ScopeSpans],
) -> ScopeSpans:
    resource_key = (
        row["trace_id"],
        row["service_name"],
        _bytes_of(row["resource_attributes"]),
        row["resource_schema_url"],
    )
    if resource_key not in resources:
        of_resource = trace.resource_spans.add(schema_url=row["resource_schema_url"])
        of_resource.resource.attributes.extend(key_values(row["resource_attributes"]))
        of_resource.resource.dropped_attributes_count = row["resource_dropped_attributes_count"]
        resources[resource_key] = of_resource
    scope_key = (
        resource_key,
        row["scope_name"],
        row["scope_version"],
        _bytes_of(row["scope_attributes"]),
        row["scope_schema_url"],
    )
    if scope_key not in scopes:
        of_scope = resources[resource_key].scope_spans.add(schema_url=row["scope_schema_url"])
        of_scope.scope.name, of_scope.scope.version = row["scope_name"], row["scope_version"]
        of_scope.scope.attributes.extend(key_values(row["scope_attributes"]))
        of_scope.scope.dropped_attributes_count = row["scope_dropped_attributes_count"]
        scopes[scope_key] = of_scope
    return scopes[scope_key]


def _span(row: Mapping[str, Any]) -> Span:
    span = Span(
        trace_id=bytes.fromhex(row["trace_id"]),
        span_id=bytes.fromhex(row["span_id"]),
        parent_span_id=bytes.fromhex(row["parent_span_id"] or ""),
        trace_state=row["trace_state"],
        flags=row["flags"],
        name=row["span_name"],
        kind=Span.SpanKind.Value(f"SPAN_KIND_{row['span_kind']}"),
        start_time_unix_nano=row["start_ns"],
        end_time_unix_nano=max(0, row["start_ns"] + row["duration_ns"]),
        attributes=key_values(row["attributes"]),
        dropped_attributes_count=row["dropped_attributes_count"],
        dropped_events_count=row["dropped_events_count"],
        dropped_links_count=row["dropped_links_count"],
    )
    if row["status_code"] != "UNSET" or row["status_message"]:
        span.status.code = Status.StatusCode.Value(f"STATUS_CODE_{row['status_code']}")
        span.status.message = row["status_message"]
    for event in row["events"] or ():
        span.events.add(
            time_unix_nano=max(0, event["time_ns"] or 0),
            name=event["name"] or "",
            attributes=key_values(event["attributes"]),
            dropped_attributes_count=event["dropped_attributes_count"] or 0,
        )
    for link in row["links"] or ():
        span.links.add(
            trace_id=bytes.fromhex(link["trace_id"] or ""),
            span_id=bytes.fromhex(link["span_id"] or ""),
            trace_state=link["trace_state"] or "",
            attributes=key_values(link["attributes"]),
            dropped_attributes_count=link["dropped_attributes_count"] or 0,
            flags=link["flags"] or 0,
        )
    return span


def key_values(variant: Mapping[str, bytes] | None) -> list[KeyValue]:
    """The attributes in a VARIANT, as Arrow holds it."""
    if variant is None or variant["value"] is None:
        return []
    values = value_of(variant["metadata"], variant["value"])
    return [KeyValue(key=key, value=any_value(value)) for key, value in (values or {}).items()]


def any_value(value: object) -> AnyValue:  # noqa: PLR0911  # one for each type
    """A Python value as OTLP's."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            found = AnyValue()
            found.kvlist_value.SetInParent()
            found.kvlist_value.values.extend(KeyValue(key=k, value=any_value(v)) for k, v in value.items())
            return found
        case list():
            found = AnyValue()
            found.array_value.SetInParent()
            found.array_value.values.extend(map(any_value, value))
            return found
    raise TypeError(type(value))


def _bytes_of(variant: Mapping[str, bytes] | None) -> tuple[bytes, bytes] | None:
    return None if variant is None else (variant["metadata"], variant["value"])


def merged(traces: Iterable[TracesData]) -> TracesData:
    """Several in one message."""
    together = TracesData()
    for trace in traces:
        together.resource_spans.extend(trace.resource_spans)
    return together
