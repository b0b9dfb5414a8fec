"""Chooses the paths of VARIANT columns that a lake file stores as columns: the most frequent, up to a bound.

Left alone, DuckDB makes a column of every distinct path of the first row group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

import duckdb

from collector.decode.variant_bytes import ARRAY, ITEM, OBJECT, Path, walk
from collector.store.lake import quoted
from collector.store.typed_paths import TYPED_MAX

# A path of one row in a thousand is missed once in seven samples; it is then stored in the rest of the value.
_SAMPLE_ROWS = 2_000
_ROWS_MIN = 2  # in the sample
# Values of one column of the sample at most: 2,000 ordinary rows have 30,000, one hostile row may as well.
_VALUES_MAX = 200_000
# The bytes of a column's value. Beyond 64 KiB they are no sample of anything, and 2,000 could be gigabytes.
_ENCODED = """list_filter(
    [variant_to_parquet_variant("{name}")::STRUCT(metadata BLOB, value BLOB)],
    lambda e: octet_length(e.metadata) + octet_length(e.value) <= 65536
)[1]"""
_KEY_CHARS_MAX = 256

Types = Mapping[Path, Counter[str]]  # of one column: how many values of each type stand at each path


def shredding_option(con: duckdb.DuckDBPyConnection, rows: str) -> str:
    """COPY's option SHREDDING for `rows`, a SELECT; empty when no column is a VARIANT."""
    kinds = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {rows})").fetchall()  # noqa: S608  # own SQL
    names = [name for name, kind in kinds if kind == "VARIANT"]
    if not names:
        return ""
    encoded = ", ".join(f'{_ENCODED.format(name=name)} AS "{name}"' for name in names)
    sample = con.sql(
        f"SELECT {encoded} FROM (FROM ({rows}) USING SAMPLE reservoir({_SAMPLE_ROWS} ROWS) REPEATABLE (1))"  # noqa: S608  # own SQL
    ).to_arrow_table()
    types = {name: _count_types(sample[name].to_pylist()) for name in names}
    chosen = _most_frequent(types)
    shredded = ", ".join(f'"{name}": {quoted(_column_type(types[name], chosen[name]))}' for name in names)
    return f"SHREDDING {{{shredded}}}"


def _count_types(variants: Iterable[Mapping[str, bytes] | None]) -> Types:
    types: dict[Path, Counter[str]] = {}
    found = (value for v in variants if v is not None for value in walk(v["metadata"], v["value"]))
    for path, kind in islice(found, _VALUES_MAX):
        types.setdefault(path, Counter())[kind] += 1
    return types


def _most_frequent(types: Mapping[str, Types]) -> dict[str, set[Path]]:
    """The paths of each column that get columns; a path's parents are at least as frequent as it."""
    counted = [
        (counts.total(), -len(path), name, path)
        for name, paths in types.items()
        for path, counts in paths.items()
        if path and counts.total() >= _ROWS_MIN and _can_be_named(path[-1])
    ]
    chosen: dict[str, set[Path]] = {name: {()} for name in types}
    for _, _, name, path in sorted(counted, reverse=True)[:TYPED_MAX]:
        chosen[name].add(path)
    return chosen


def _can_be_named(key: str) -> bool:
    return 0 < len(key) <= _KEY_CHARS_MAX and key.isprintable()


def _column_type(types: Types, chosen: set[Path]) -> str:
    children: dict[Path, list[Path]] = {}
    for path in chosen:
        if path:
            children.setdefault(path[:-1], []).append(path)
    return _type_at((), types, children) or "VARIANT"


def _type_at(path: Path, types: Types, children: Mapping[Path, Iterable[Path]]) -> str:
    """The DuckDB type of the values at a path; empty when the values are better left as bytes."""
    counts = types.get(path)
    if not counts:
        return ""
    kind = max(counts, key=lambda kind: (kind != "", counts[kind]))  # a null has no type
    below = children.get(path, ())
    if kind == ARRAY:
        element = next((_type_at(child, types, children) for child in below if child[-1] == ITEM), "")
        return f"{element}[]" if element else ""
    if kind != OBJECT:
        return kind
    fields: dict[str, str] = {}  # by the name in lower case: a STRUCT has no two that differ by case alone
    for child in sorted(below, key=lambda child: -types[child].total()):
        field = _type_at(child, types, children)
        if field:
            name = child[-1].replace('"', '""')
            fields.setdefault(child[-1].lower(), f'"{name}" {field}')
    return f"STRUCT({', '.join(fields.values())})" if fields else ""
