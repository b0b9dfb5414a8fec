"""Strict JSON (RFC 8259) from DuckDB's, which writes NaN and infinities bare."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

_SUSPECT = r"NaN|Infinity|\bnan\b|\binf"


def strict_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """JSON text in which NaN and infinities are strings."""
    suspects = pc.fill_null(pc.match_substring_regex(column, _SUSPECT), False)
    if not pc.any(suspects).as_py():
        return column
    strict = [
        _strict(text) if is_suspect else text
        for text, is_suspect in zip(column.to_pylist(), suspects.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(strict, column.type)])


def _strict(text: str) -> str:
    try:
        return json.dumps(json.loads(text, parse_constant=str), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return json.dumps(text)  # as one string: nothing is lost, and it is JSON
