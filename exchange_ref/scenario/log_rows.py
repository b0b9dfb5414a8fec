"""Logs as rows of a Parquet file, in the columns of the evaluation format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from exchange_ref.scenario.outside import Sender

SCHEMA = pa.schema(
    [
        ("time_unix_nano", pa.int64()),
        ("service_name", pa.string()),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("severity_text", pa.string()),
        ("body", pa.string()),
    ]
)


class LogRows(LogRecordExporter):
    """Appends each exported batch to a Parquet file; `shutdown` makes it readable."""

    def __init__(self, path: Path, sender: Sender) -> None:
        self._sender = sender
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        if self._sender.stopped:
            return LogRecordExportResult.FAILURE
        columns = zip(*map(_row, batch), strict=True)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True

    def shutdown(self) -> None:
        self._writer.close()


def _row(line: ReadableLogRecord) -> tuple[str | int | None, ...]:
    record = line.log_record
    kind = (record.attributes or {}).get("exception.type")
    body = str(record.body)
    return (
        record.timestamp or record.observed_timestamp,
        str(line.resource.attributes["service.name"]),
        format(record.trace_id or 0, "032x"),
        format(record.span_id or 0, "016x"),
        record.severity_text,
        f"{body}: {kind!s}" if kind else body,
    )
