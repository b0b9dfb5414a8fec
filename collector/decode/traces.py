"""OTLP trace requests to the columns of `spans_recent`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import arrow
from collector.decode.columns import (
    Encode,
    Origin,
    as_table,
    decode_canonical,
    hex_ids,
    ids_or_null,
    named,
    nanos,
    null_if_empty,
    open_envelope,
    rebuild_lists,
    times_or_null,
)
from collector.decode.in_two import Columns, InTwo, decode_in_two
from collector.decode.shredded import shred_attributes
from collector.decode.variant import encode_attributes, variant_field
from collector.signals import Signal

_LISTS = ("scope_spans", "spans")
SPAN_KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUS_CODES = ["UNSET", "OK", "ERROR"]

_EVENT_FIELDS = [
    pa.field("time", pa.timestamp("ns")),
    pa.field("name", pa.string()),
    variant_field("attributes"),
    pa.field("dropped_attributes_count", pa.uint32()),
]
_LINK_FIELDS = [
    pa.field("trace_id", pa.string()),
    pa.field("span_id", pa.string()),
    pa.field("trace_state", pa.string()),
    variant_field("attributes"),
    pa.field("dropped_attributes_count", pa.uint32()),
    pa.field("flags", pa.uint32()),
]


def decode_traces(payloads: list[bytes]) -> pa.Table:
    """`ExportTraceServiceRequest` bytes to one table, a row for each span in the order sent.

    Ids must have been checked at receipt. An end before its start gives a duration of 0.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.TRACES, _decode, payloads)


def decode_shredded_traces(payloads: list[bytes]) -> InTwo:
    """The same spans, each once: with shredded attributes as far as that goes, the others as they were.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.TRACES, _decode_shredded, payloads)


def _decode(requests: pa.RecordBatch) -> pa.Table:
    return as_table(_plain(open_envelope(requests, *_LISTS)))


def _decode_shredded(requests: pa.RecordBatch) -> InTwo:
    return decode_in_two(requests, *_LISTS, _shredded, _plain)


def _plain(origin: Origin) -> Columns:
    return _columns(origin, encode_attributes)


def _shredded(origin: Origin) -> Columns:
    return _columns(origin, shred_attributes)


def _columns(origin: Origin, encode: Encode) -> Columns:
    spans = origin.items
    start_ns, end_ns = nanos(spans.field("start_time_unix_nano")), nanos(spans.field("end_time_unix_nano"))
    status = spans.field("status")
    return {
        "trace_id": hex_ids(spans.field("trace_id")),
        "span_id": hex_ids(spans.field("span_id")),
        "parent_span_id": null_if_empty(hex_ids(spans.field("parent_span_id"))),
        "trace_state": spans.field("trace_state"),
        "flags": spans.field("flags"),
        "span_name": spans.field("name"),
        "span_kind": named(spans.field("kind"), SPAN_KINDS),
        "start_time": arrow(start_ns).cast(pa.timestamp("ns")),
        "duration_ns": arrow(np.maximum(end_ns - start_ns, 0)),
        "status_code": named(status.field("code"), STATUS_CODES),
        "status_message": pc.fill_null(status.field("message"), ""),
        "attributes": encode(spans.field("attributes")),
        "dropped_attributes_count": spans.field("dropped_attributes_count"),
        "events": _events(spans.field("events")),
        "dropped_events_count": spans.field("dropped_events_count"),
        "links": _links(spans.field("links")),
        "dropped_links_count": spans.field("dropped_links_count"),
        **origin.columns,
    }


def _events(lists: pa.ListArray) -> pa.ListArray:
    events = lists.flatten()
    return rebuild_lists(
        lists,
        pa.StructArray.from_arrays(
            [
                times_or_null(events.field("time_unix_nano")),
                events.field("name"),
                encode_attributes(events.field("attributes")),
                events.field("dropped_attributes_count"),
            ],
            fields=_EVENT_FIELDS,
        ),
    )


def _links(lists: pa.ListArray) -> pa.ListArray:
    links = lists.flatten()
    return rebuild_lists(
        lists,
        pa.StructArray.from_arrays(
            [
                ids_or_null(links.field("trace_id"), 16),
                ids_or_null(links.field("span_id"), 8),
                links.field("trace_state"),
                encode_attributes(links.field("attributes")),
                links.field("dropped_attributes_count"),
                links.field("flags"),
            ],
            fields=_LINK_FIELDS,
        ),
    )
