"""Spans as rows of a Parquet file, in the columns of the evaluation format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.scenario.outside import Sender

SCHEMA = pa.schema(
    [
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("parent_span_id", pa.string()),  # empty for a root
        ("service_name", pa.string()),
        ("span_name", pa.string()),
        ("span_kind", pa.string()),
        ("start_time_unix_nano", pa.int64()),
        ("end_time_unix_nano", pa.int64()),
        ("status_code", pa.string()),
        ("attributes", pa.string()),  # JSON text
    ]
)


class SpanRows(SpanExporter):
    """Appends each exported batch to a Parquet file; `shutdown` makes it readable."""

    def __init__(self, path: Path, sender: Sender) -> None:
        self._sender = sender
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._sender.stopped:
            return SpanExportResult.FAILURE
        columns = zip(*map(_row, spans), strict=True)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._writer.close()


def _row(span: ReadableSpan) -> tuple[str | int | None, ...]:
    return (
        format(span.context.trace_id, "032x"),
        format(span.context.span_id, "016x"),
        format(span.parent.span_id, "016x") if span.parent is not None else "",
        str(span.resource.attributes["service.name"]),
        span.name,
        span.kind.name,
        span.start_time,
        span.end_time,
        span.status.status_code.name,
        json.dumps(dict(span.attributes or {})),
    )
