from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.errors import InvalidInput
from collector.sql import render
from collector.sql.query import QueryResult, QueryRunner
from collector.store.store import Store

# DuckDB's types, each with its extremes, what is special about it, and NULL.
VALUES = {
    "BOOLEAN": ["true", "false"],
    "BIGINT": ["9223372036854775807", "-9223372036854775808"],
    "UBIGINT": ["18446744073709551615"],
    "HUGEINT": ["170141183460469231731687303715884105727", "7"],
    "UHUGEINT": ["340282366920938463463374607431768211455"],
    "BIGNUM": ["'1234567890123456789012345678901234567890'"],
    "DOUBLE": ["'nan'", "'inf'", "'-inf'", "1.5e300"],
    "FLOAT": ["'nan'", "'-inf'", "0.1"],
    "DECIMAL(38,10)": ["1234567890123456789012345678.0123456789"],
    "DECIMAL(5,2)": ["1.50"],
    "VARCHAR": ["''", "'a,\"b\"'", "'tab\tline\nend'", "'🦆'", "'NULL'", "'a' || chr(27) || 'b'"],
    "BLOB": ["'\\x00\\xFF'", "''"],
    "BIT": ["'10101'"],
    "UUID": ["'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"],
    "DATE": ["'2026-01-02'", "'infinity'", "'0044-03-15 (BC)'", "'99999-01-01'"],
    "TIME": ["'23:59:59.999999'", "'24:00:00'"],
    "TIME_NS": ["'23:59:59.999999999'"],
    "TIME WITH TIME ZONE": ["'12:00:00+15:59'"],
    "TIMESTAMP": ["'2026-01-02 03:04:05.678901'", "'infinity'", "'290000-01-01 (BC)'"],
    "TIMESTAMP_S": ["'2026-01-02 03:04:05'"],
    "TIMESTAMP_MS": ["'2026-01-02 03:04:05.678'"],
    "TIMESTAMP_NS": ["'2026-01-02 03:04:05.678901234'", "'1677-09-22 00:00:00'"],
    "TIMESTAMPTZ_NS": ["'2026-01-02 03:04:05.678901234+02'"],
    "DECIMAL(3,3)": ["-0.25"],
    "TIMESTAMP WITH TIME ZONE": ["'2026-01-02 03:04:05+02'"],
    "INTERVAL": ["'1 year 2 days 3 hours'"],
    "ENUM('a', 'b')": ["'a'"],
    "INTEGER[]": ["[1, NULL]", "[]"],
    "DOUBLE[]": ["['nan'::DOUBLE, 1.5]"],
    "INTERVAL[]": ["[INTERVAL 1 DAY]"],
    "INTEGER[2]": ["[1, 2]"],
    "STRUCT(a INTEGER, b VARCHAR)": ["{'a': 1, 'b': 'x'}"],
    "STRUCT(a VARIANT)": ["{'a': 1::VARIANT}"],
    'STRUCT("t 1" TIMESTAMP_NS, "b""c" BLOB)[]': ["[{'t 1': '2026-01-02 03:04:05', 'b\"c': '\\xAA'}, NULL]"],
    "STRUCT(e ENUM('a,(', 'TIMESTAMP'), t TIMESTAMP)": ["{'e': 'a,(', 't': 'infinity'}"],
    "MAP(TIMESTAMP_NS, STRUCT(b BLOB[2]))": ["MAP {'2026-01-02 03:04:05': {'b': ['\\x00', NULL]}}", "MAP {}"],
    "MAP(VARCHAR, INTEGER)": ["MAP {'k': 1}"],
    "UNION(n INTEGER, s VARCHAR)": ["'x'"],
    "JSON": ["'{\"a\": [1, null]}'", "'[NaN, Infinity]'", "'1.5e400'"],
    "VARIANT": ["{'a': 'nan'::DOUBLE, 'b': ['y', 'x'], 'c': 12345678901234567890.5}", "'text'", "1"],
}
CASES = [(kind, value) for kind, values in VALUES.items() for value in [*values, "NULL"]]


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryRunner]:
    store = Store.open(tmp_path_factory.mktemp("render") / "data")
    with QueryRunner(store) as runner:
        yield runner
    store.close()


@pytest.fixture(params=["in the child", "in the server"])
def results(
    request: pytest.FixtureRequest, queries: QueryRunner
) -> Iterator[tuple[QueryResult, QueryResult]]:
    """Every value as typed columns and as text ones, by both ways that a query can take."""
    columns = ", ".join(f"({value})::{kind} AS c{n}" for n, (kind, value) in enumerate(CASES))
    source = "" if request.param == "in the child" else " FROM landing_position"
    query = f"SELECT {columns}{source}"
    return queries.run(query, limit_rows=5), queries.run(query, limit_rows=5, as_text=True)


def strict(text: bytes) -> Any:
    """JSON by the letter: NaN and Infinity are none."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_every_type_in_every_format(results: tuple[QueryResult, QueryResult]) -> None:
    """Every type of DuckDB, with its extremes and NULL, leaves in every format, and its readers read it."""
    typed, text = results
    rows = strict(b"".join(render.json_table(text)))["rows"][0]
    objects = strict(b"".join(render.json_objects(text)))[0]
    table = list(csv.reader(io.StringIO(b"".join(render.csv(text)).decode())))
    people = next(render.texts(text))
    frame = pl.read_ipc_stream(b"".join(render.arrow_stream(typed)))
    assert isinstance(frame, pl.DataFrame)
    assert len(CASES) == len(rows) == len(objects) == len(table[1]) == len(people) == frame.width
    parquet = pq.read_table(io.BytesIO(render.parquet(typed)))
    assert parquet.num_columns == len(CASES)
    for (kind, value), from_json, from_csv, shown in zip(CASES, rows, table[1], people, strict=True):
        is_null = value == "NULL"
        assert (from_json is None) == (shown is None) == is_null, (kind, value)
        assert from_csv == ("" if shown is None else shown), (kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "in_json", "as_shown"),
    [
        ("DOUBLE", "'nan'", '"NaN"', "NaN"),
        ("FLOAT", "'-inf'", '"-Infinity"', "-Infinity"),
        ("FLOAT", "0.1", "0.1", "0.1"),
        ("FLOAT", "1e30", "1e+30", "1e+30"),
        ("JSON", "to_json(['nan'::DOUBLE, '-inf'::DOUBLE])", '["NaN","-Infinity"]', None),
        ("DECIMAL(38,10)", "1234567890123456789012345678.0123456789", None, None),
        ("DECIMAL(5,2)", "1.50", "1.50", "1.50"),
        ("DECIMAL(2,2)", ".5", "0.50", "0.50"),
        ("DECIMAL(3,3)", "-.25", "-0.250", "-0.250"),
        ("HUGEINT", "170141183460469231731687303715884105727", None, None),
        ("UHUGEINT", "340282366920938463463374607431768211455", None, None),
        ("BLOB", "'\\x00\\xFF'", '"00ff"', "00ff"),
        ("INTERVAL", "'1 year 2 days 3 hours'", '"1 year 2 days 03:00:00"', "1 year 2 days 03:00:00"),
        ("TIMESTAMP", "'infinity'", '"infinity"', "infinity"),
        ("TIMESTAMP_S", "'2026-01-02 03:04:05'", '"2026-01-02T03:04:05.000000Z"', None),
        ("TIMESTAMP_NS", "'1969-12-31 23:59:59.999999999'", '"1969-12-31T23:59:59.999999999Z"', None),
        ("TIMESTAMP WITH TIME ZONE", "'2026-01-02 03:04:05+02'", '"2026-01-02T01:04:05.000000Z"', None),
        ("JSON", "'[NaN, Infinity, \"NaN\"]'", '["NaN","Infinity","NaN"]', '["NaN","Infinity","NaN"]'),
        ("VARIANT", "{'a': 'inf'::DOUBLE}", '{"a":"Infinity"}', '{"a":"Infinity"}'),
        ("DOUBLE[]", "['nan'::DOUBLE, 1.5]", '["NaN",1.5]', '["NaN",1.5]'),
        ("VARCHAR", "'null'", '"null"', "null"),
        ("TIMESTAMP_NS[]", "['2026-01-02 03:04:05']", '["2026-01-02T03:04:05.000000000Z"]', None),
        ("BLOB[][2]", "[['\\xAA'], NULL]", '[["aa"],null]', None),
        (
            "STRUCT(t TIMESTAMP WITH TIME ZONE, v VARIANT)",
            "{'t': '2026-01-02 03:04:05+02', 'v': 1}",
            '{"t":"2026-01-02T01:04:05.000000Z","v":1}',
            None,
        ),
        (
            "MAP(TIMESTAMP_S, STRUCT(b BLOB))",
            "MAP {'2026-01-02 03:04:05': {'b': '\\xBB'}}",
            '{"2026-01-02T03:04:05.000000Z":{"b":"bb"}}',
            None,
        ),
    ],
)
def test_values(
    queries: QueryRunner, kind: str, value: str, in_json: str | None, as_shown: str | None
) -> None:
    """No digit is lost, what is not finite has one name, and times are ISO 8601 in UTC."""
    result = queries.run(f"SELECT ({value})::{kind} AS v", limit_rows=1, as_text=True)
    row = b"".join(render.json_table(result)).decode()
    assert f'"rows":[[{value if in_json is None else in_json}]]' in row
    shown = next(render.texts(result))[0]
    assert shown == (as_shown or (in_json or value).strip('"'))


def test_tables_and_views(queries: QueryRunner) -> None:
    """Every table and view of ours leaves in every format."""
    names = queries.run("SELECT table_name FROM information_schema.tables", limit_rows=1000)
    for name in names.table["table_name"].to_pylist():
        typed = queries.run(f'FROM "{name}"', limit_rows=3)
        text = queries.run(f'FROM "{name}"', limit_rows=3, as_text=True)
        strict(b"".join(render.json_table(text)))
        b"".join(render.csv(text))
        with pa.ipc.open_stream(b"".join(render.arrow_stream(typed))) as reader:
            assert reader.read_all().column_names == typed.table.column_names
        render.parquet(typed)


def test_parquet_without_a_form(queries: QueryRunner) -> None:
    """Values that Parquet cannot hold are an error that says so."""
    with pytest.raises(InvalidInput, match="Parquet has no form"):
        render.parquet(queries.run("SELECT MAP {} AS m", limit_rows=1))


def test_equal_names_and_no_rows(queries: QueryRunner) -> None:
    """Columns of one name both stay, and a result without rows keeps its header."""
    result = queries.run("SELECT 1 AS a, 2 AS a", limit_rows=3, as_text=True)
    assert strict(b"".join(render.json_table(result)))["rows"] == [[1, 2]]
    empty = queries.run("SELECT 1 AS a WHERE false", limit_rows=3, as_text=True)
    assert b"".join(render.csv(empty)) == b'"a"\n'
    assert strict(b"".join(render.json_objects(empty))) == []


def test_many_rows_come_in_pieces(queries: QueryRunner) -> None:
    """A large result is written piece by piece, and the pieces are one document."""
    result = queries.run("SELECT range AS n FROM range(5000)", limit_rows=10_000, as_text=True)
    pieces = list(render.json_table(result))
    assert max(map(len, pieces)) < 8000
    assert strict(b"".join(pieces))["rows"] == [[n] for n in range(5000)]
    assert len(strict(b"".join(render.json_objects(result)))) == 5000
