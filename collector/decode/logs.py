"""OTLP log requests to the columns of `logs_recent`."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.columns import (
    Encode,
    Origin,
    as_table,
    decode_canonical,
    ids_or_null,
    open_envelope,
    times,
)
from collector.decode.in_two import Columns, InTwo, decode_in_two
from collector.decode.shredded import shred_attributes, shred_values
from collector.decode.variant import encode_attributes, encode_values
from collector.signals import Signal

_LISTS = ("scope_logs", "log_records")


def decode_logs(payloads: list[bytes]) -> pa.Table:
    """`ExportLogsServiceRequest` bytes to one table, a row for each log record in the order sent.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.LOGS, _decode, payloads)


def decode_shredded_logs(payloads: list[bytes]) -> InTwo:
    """The same records, each once: with shredded attributes as far as that goes, the others as they were.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.LOGS, _decode_shredded, payloads)


def _decode(requests: pa.RecordBatch) -> pa.Table:
    return as_table(_plain(open_envelope(requests, *_LISTS)))


def _decode_shredded(requests: pa.RecordBatch) -> InTwo:
    return decode_in_two(requests, *_LISTS, _shredded, _plain)


def _plain(origin: Origin) -> Columns:
    return _columns(origin, encode_attributes, encode_values)


def _shredded(origin: Origin) -> Columns:
    return _columns(origin, shred_attributes, shred_values)


def _columns(
    origin: Origin, encode: Encode, encode_body: Callable[[pa.StructArray], pa.StructArray]
) -> Columns:
    logs = origin.items
    happened, observed = logs.field("time_unix_nano"), logs.field("observed_time_unix_nano")
    # Not a plain 0, an int64, to which pyarrow would convert the times: it refuses those beyond 2262.
    unknown = pa.scalar(0, pa.uint64())
    return {
        # Zero means "unknown" for either; the other is then the best time there is.
        "time": times(pc.if_else(pc.equal(happened, unknown), observed, happened)),
        "observed_time": times(pc.if_else(pc.equal(observed, unknown), happened, observed)),
        "trace_id": ids_or_null(logs.field("trace_id"), 16),
        "span_id": ids_or_null(logs.field("span_id"), 8),
        "flags": logs.field("flags"),
        "severity_number": logs.field("severity_number").cast(pa.int32()),
        "severity_text": logs.field("severity_text"),
        "event_name": logs.field("event_name"),
        "body": encode_body(logs.field("body")),
        "attributes": encode(logs.field("attributes")),
        "dropped_attributes_count": logs.field("dropped_attributes_count"),
        **origin.columns,
    }
