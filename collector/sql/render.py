"""Renders query results as JSON, CSV, Arrow and Parquet, for the API and the shell.

JSON and CSV take results of `run(as_text=True)`, in which DuckDB has made text of all that needs it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.errors import InvalidInput
from collector.sql.columns import is_json, is_number
from collector.sql.query import QueryResult

# One piece of an answer. What a result takes beside its columns stays as small as this.
_ROWS_PER_PIECE = 1024


def arrow_stream(result: QueryResult) -> Iterator[bytes]:
    """An Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        for batch in result.table.to_batches():
            writer.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def parquet(result: QueryResult) -> bytes:
    """A Parquet file, compressed with zstd.

    Raises:
        InvalidInput: a column has a type that Parquet has no form for, e.g. a struct without fields.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # 0.1 s at the server's start, for few

    sink = io.BytesIO()
    try:
        pq.write_table(result.table, sink, compression="zstd")
    except pa.ArrowException as error:
        raise InvalidInput(
            f"Parquet has no form for a column of the result ({error})",
            hint="ask for an Arrow stream, or for text with as_text",
        ) from error
    return sink.getvalue()


def csv(result: QueryResult) -> Iterator[bytes]:
    """Comma-separated values with a header, one line a row; NULL is empty and an empty text is `""`."""
    sink = io.BytesIO()
    with pa.csv.CSVWriter(sink, _csv_schema(result.table.schema)) as writer:
        yield _taken(sink)
        for batch in result.table.to_batches(_ROWS_PER_PIECE):
            columns = [_finite_text(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_csv_schema(batch.schema)))
            yield _taken(sink)


def json_table(result: QueryResult) -> Iterator[bytes]:
    """`{columns: [{name, type}], rows: [[…]], row_count, truncated, elapsed_ms}`, in pieces.

    Times are ISO 8601 in UTC with all their digits, bytes are hex, numbers keep every digit, and NaN
    and infinities are the strings "NaN", "Infinity" and "-Infinity", as in protobuf's JSON.
    """
    head = [
        {"name": name, "type": kind}
        for name, kind in zip(result.table.column_names, result.types, strict=True)
    ]
    yield b'{"columns":' + msgspec.json.encode(head) + b',"rows":['
    yield from _pieces(result, list)
    tail = {
        "row_count": result.table.num_rows,
        "truncated": result.truncated,
        "elapsed_ms": result.elapsed_ms,
    }
    yield b"]," + msgspec.json.encode(tail)[1:]


def json_objects(result: QueryResult) -> Iterator[bytes]:
    """`[{column: value, …}, …]`, one object a line. Of equal column names the last one stays."""
    names = result.table.column_names
    yield b"["
    yield from _pieces(result, lambda row: dict(zip(names, row, strict=True)), between=b",\n")
    yield b"]\n"


def texts(result: QueryResult) -> Iterator[list[str | None]]:
    """The rows for people's eyes, each value as its text; None where it is NULL."""
    for batch in result.table.to_batches(_ROWS_PER_PIECE):
        columns = [_finite_text(column).cast(pa.string()).to_pylist() for column in batch.columns]
        yield from (list(row) for row in zip(*columns, strict=True))


def _pieces(result: QueryResult, shape: Callable[[Any], Any], between: bytes = b",") -> Iterator[bytes]:
    is_first = True
    for batch in result.table.to_batches(_ROWS_PER_PIECE):
        columns = [_values(column, kind) for column, kind in zip(batch.columns, result.types, strict=True)]
        rows = between.join(msgspec.json.encode(shape(row)) for row in zip(*columns, strict=True))
        if rows:
            yield rows if is_first else between + rows
            is_first = False


def _values(column: pa.Array, kind: str) -> list[Any]:
    if is_json(kind) or is_number(kind):
        return [None if text is None else msgspec.Raw(text.encode()) for text in column.to_pylist()]
    if pa.types.is_float32(column.type):  # 0.1, as CSV has it, and not 0.10000000149011612
        texts = _finite_text(column).to_pylist()
        return [text if text in _NAMES else msgspec.Raw(text.encode()) for text in texts]
    if pa.types.is_floating(column.type):
        return [
            value if value is None or math.isfinite(value) else _name(value) for value in column.to_pylist()
        ]
    return list(column.to_pylist())


_NAMES = frozenset({None, "NaN", "Infinity", "-Infinity"})


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _csv_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            pa.field(field.name, pa.string() if _needs_text(field.type) else field.type)
            for field in schema
        ]
    )  # fmt: skip


def _needs_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_null(kind))


def _finite_text(column: pa.Array) -> pa.Array:
    """Floats as text with the same names for what is not finite as in JSON."""
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if not pa.types.is_floating(column.type):
        return column
    text = column.cast(pa.string())
    for arrow_name, name in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        text = pc.replace_with_mask(text, pc.fill_null(pc.equal(text, arrow_name), False), name)
    return text


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content
