"""OTLP log requests to the columns of `logs_recent`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.columns import as_table, decode_canonical, ids_or_null, open_envelope, times
from collector.decode.variant import encode_attributes, encode_values
from collector.signals import Signal


def decode_logs(payloads: list[bytes]) -> pa.Table:
    """`ExportLogsServiceRequest` bytes to one table, a row for each log record in the order sent.

    Raises:
        ValueError: a payload is not valid protobuf.
    """
    return decode_canonical(Signal.LOGS, _decode, payloads)


def _decode(requests: pa.RecordBatch) -> pa.Table:
    logs, origin = open_envelope(requests, "scope_logs", "log_records")
    happened, observed = logs.field("time_unix_nano"), logs.field("observed_time_unix_nano")
    # Not a plain 0, an int64, to which pyarrow would convert the times: it refuses those beyond 2262.
    unknown = pa.scalar(0, pa.uint64())
    return as_table(
        {
            # Zero means "unknown" for either; the other is then the best time there is.
            "time": times(pc.if_else(pc.equal(happened, unknown), observed, happened)),
            "observed_time": times(pc.if_else(pc.equal(observed, unknown), happened, observed)),
            "trace_id": ids_or_null(logs.field("trace_id"), 16),
            "span_id": ids_or_null(logs.field("span_id"), 8),
            "flags": logs.field("flags"),
            "severity_number": logs.field("severity_number").cast(pa.int32()),
            "severity_text": logs.field("severity_text"),
            "event_name": logs.field("event_name"),
            "body": encode_values(logs.field("body")),
            "attributes": encode_attributes(logs.field("attributes")),
            "dropped_attributes_count": logs.field("dropped_attributes_count"),
            **origin,
        }
    )
