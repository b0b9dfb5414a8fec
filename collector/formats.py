"""Query results as JSON, CSV and Arrow bytes."""

from __future__ import annotations

import io
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.store.query import QueryResult

_TEXT_TYPES = (pa.types.is_date, pa.types.is_time, pa.types.is_duration, pa.types.is_interval)


def as_arrow_stream(result: QueryResult) -> bytes:
    """An Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        writer.write_table(result.table)
    return sink.getvalue()


def as_csv(result: QueryResult) -> bytes:
    """Comma-separated values with a header; times as ISO 8601 in UTC."""
    sink = io.BytesIO()
    columns = [_plain(column) for column in result.table.columns]
    pa.csv.write_csv(pa.table(columns, names=result.table.column_names), sink)
    return sink.getvalue()


def as_json(result: QueryResult) -> bytes:
    """`{columns: [{name, type}], rows: [[…]], row_count, truncated, elapsed_ms}`.

    Times are ISO 8601 in UTC with nanoseconds, bytes are hex, and NaN and infinities are the strings "NaN",
    "Infinity" and "-Infinity", as in protobuf's JSON, because JSON has no number for them.
    """
    table = result.table
    columns = [
        _parsed(column.to_pylist())
        if _is_json(kind)
        else [_json_value(v) for v in _plain(column).to_pylist()]
        for column, kind in zip(table.columns, result.types, strict=True)
    ]
    document = {
        "columns": [
            {"name": name, "type": kind} for name, kind in zip(table.column_names, result.types, strict=True)
        ],
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "row_count": table.num_rows,
        "truncated": result.truncated,
        "elapsed_ms": result.elapsed_ms,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def iso_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """UTC timestamps as `2026-11-20T22:48:42.679381000Z`."""
    return pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")


def _is_json(kind: str) -> bool:
    """Whether `run_query(nested_as_json=True)` made JSON text of a column of this type."""
    return (
        kind == "JSON"
        or "VARIANT" in kind
        or kind.endswith("]")
        or kind.startswith(("STRUCT", "MAP", "UNION"))
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Types without a form in JSON and CSV as text."""
    if pa.types.is_timestamp(column.type):
        return iso_times(column)
    if any(test(column.type) for test in _TEXT_TYPES):
        return column.cast(pa.string()) if not pa.types.is_interval(column.type) else column
    return column


def _parsed(texts: list[str | None]) -> list[Any]:
    # parse_constant: DuckDB writes NaN and infinities of a VARIANT bare.
    return [None if text is None else json.loads(text, parse_constant=str) for text in texts]


def _json_value(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case bytes():
            return value.hex()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
