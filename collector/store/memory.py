"""DuckDB's memory limit: read, and refused below what works."""

from __future__ import annotations

import duckdb

from collector.errors import InvalidInput

# What DuckDB prints, and what `_check` gets back from it.
_UNIT_BYTES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_PRINTED_SHARE = 0.99  # 128MB are printed as 122.0 MiB
# Start, landing, sealing and a query over 20,000 spans with nine attributes, and again after a restart:
# landing never succeeds with 20 MB, all works with 40 (150,000 spans: with 60). Queries beside them need as
# much again, and one server with 60 MB ended in a segmentation fault inside DuckDB.
MEMORY_LIMIT_MIN_BYTES = 128_000_000


def check_memory_limit(text: str) -> None:
    """
    Args:
        text: as DuckDB takes it, e.g. `2GB` or `50%`; empty for its default.

    Raises:
        InvalidInput: it is not a size, or less than what a server needs.
    """
    if not text:
        return
    try:
        con = duckdb.connect(":memory:", config={"memory_limit": text})
    except duckdb.Error as error:
        raise InvalidInput(
            f"SPYHOP_DUCKDB_MEMORY_LIMIT {text!r} is not a size", hint="give one such as 2GB or 512MiB"
        ) from error
    with con:
        try:
            ((limit,),) = con.execute("SELECT current_setting('memory_limit')").fetchall()
            limit_bytes = size_bytes(limit)
        except duckdb.OutOfMemoryException:  # not even for that
            limit_bytes = 0
    if limit_bytes < _PRINTED_SHARE * MEMORY_LIMIT_MIN_BYTES:
        least = f"{MEMORY_LIMIT_MIN_BYTES // 1_000_000}MB"
        raise InvalidInput(
            f"SPYHOP_DUCKDB_MEMORY_LIMIT {text} is less than DuckDB needs to land and seal",
            hint=f"give at least {least}, or leave it empty for 80% of the machine",
            details={"least_bytes": MEMORY_LIMIT_MIN_BYTES},
        )


def size_bytes(text: str) -> int:
    """DuckDB's way to print sizes, e.g. `293.7 KiB`, in bytes."""
    number, unit = text.split()
    return int(float(number) * _UNIT_BYTES[unit])
