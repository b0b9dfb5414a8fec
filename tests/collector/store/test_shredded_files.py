"""Files of spans that pyarrow writes, against the table that DuckDB fills."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.decode.shredded import KEYS_MAX, Unlike, align, keys_of, shred_attributes
from collector.decode.traces import decode_shredded_traces, decode_traces
from collector.lake.merging import join_files, merge_files
from collector.store.file_columns import HOT, WRITTEN_FORMAT, columns_of, read_columns
from collector.store.lake import SEALED
from collector.store.shredded_files import file_rows, write_rows
from collector.store.store import Store

KEYS = ["a", "b.c", "é", "", "x" * 300, "tab\t", "attributes", "value", "typed_value", "list", '"q"', "it's"]
VALUES: list[Any] = [
    "",
    "x",
    "é" * 40,
    True,
    False,
    0,
    -(2**63),
    2**63 - 1,
    1.5,
    float("inf"),
    b"",
    b"\0\xff",
    None,
]
VALUES += [[], [1, "a", None], [[1]], {"k": {"a": 1}}]
SHOWN = """
    span_id, start_time, duration_ns, attributes::JSON::VARCHAR AS a, variant_typeof(attributes) AS t,
    resource_attributes::JSON::VARCHAR AS r, scope_attributes::JSON::VARCHAR AS s
"""


def random_request(
    make_request: Callable[..., Any], any_value: Callable[..., Any], choose: random.Random
) -> Any:
    request = make_request(choose.randint(1, 20))
    scope = request.resource_spans[0].scope_spans[0]
    for owner in (request.resource_spans[0].resource, scope.scope, *scope.spans):
        for _ in range(choose.choice([0, 1, 3, 6])):
            # Twice as many plain values as odd ones, and now and then a key twice.
            keys, values = (KEYS, VALUES) if choose.random() < 0.3 else (KEYS[:3], VALUES[:12])
            owner.attributes.add(key=choose.choice(keys), value=any_value(choose.choice(values)))
    return request


@pytest.mark.parametrize("seed", range(6))
def test_files_hold_what_the_table_holds(
    seed: int, store: Store, make_request: Callable[..., Any], any_value: Callable[..., Any]
) -> None:
    """Whatever attributes spans have, each is in the file or among the others, and reads as from the table,
    also when files were joined or merged."""
    choose = random.Random(seed)
    bodies = [random_request(make_request, any_value, choose).SerializeToString() for _ in range(12)]
    con = store.cursor()
    con.register("plain", pa.concat_tables([decode_traces([body]) for body in bodies]))
    parts = [decode_shredded_traces(bodies[:6]), decode_shredded_traces(bodies[6:])]
    columns = columns_of(con, "spans_recent")
    files = []
    for number, part in enumerate(parts):
        rows = file_rows(part.shredded, number, columns, con)
        files.append(store.folder / f"{number}.parquet")
        write_rows(files[-1], [rows], rows.schema)
    merged = store.folder / "lake" / "a" / "b" / "merged.parquet"
    joined = merged.with_name("joined.parquet")
    count = merge_files(SEALED["traces"], files, merged, 300)
    assert join_files(SEALED["traces"], files, joined) == count
    others = [part.others for part in parts if part.others is not None]
    assert count == sum(len(part.shredded) for part in parts) > 0
    assert count + sum(map(len, others)) == con.execute("SELECT count(*) FROM plain").fetchall()[0][0]
    expected = con.execute(
        f"SELECT {SHOWN} FROM plain SEMI JOIN (FROM '{merged}') USING (span_id) ORDER BY span_id"
    ).fetchall()
    hot = [str(file) for file in files]
    for paths, file_format in (([str(merged)], WRITTEN_FORMAT), (hot, HOT), ([str(joined)], HOT)):
        shown = read_columns(columns, "start_time", file_format)
        query = f"SELECT {SHOWN} FROM (SELECT {shown} FROM read_parquet({paths})) ORDER BY span_id"
        assert con.execute(query).fetchall() == expected
    con.close()


def test_keys_are_bounded(make_request: Callable[..., Any]) -> None:
    """Of many keys the most frequent get columns; rows with others are left out."""
    many = [make_request(1, attributes={"usual": n, f"own.{n}": n}) for n in range(400)]
    few = [make_request(2, attributes={"usual": 1, "second": "x"}) for _ in range(50)]
    spans = decode_shredded_traces([request.SerializeToString() for request in (*many, *few)])
    kind = spans.shredded.schema.field("attributes").type
    assert len(keys_of(kind)) == KEYS_MAX
    assert len(spans.shredded) == 100 + KEYS_MAX - 2
    assert spans.others is not None
    assert len(spans.others) == 400 - (KEYS_MAX - 2)


def test_too_many_keys_together(make_request: Callable[..., Any]) -> None:
    """Tables that have more keys together than one schema may are told apart, not cut."""
    tables = [
        decode_shredded_traces(
            [make_request(1, attributes={f"{part}.{n}": n for n in range(100)}).SerializeToString()]
        ).shredded
        for part in range(2)
    ]
    with pytest.raises(Unlike, match="200 keys"):
        align(tables)


def test_no_attributes() -> None:
    """A column without any attribute has no typed columns, and takes those of another."""
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.struct([]))]))
    column = shred_attributes(pa.array([[], []], kind))
    assert keys_of(column.type) == {}
    assert column.null_count == 0


def test_a_rest_is_never_dropped(store: Store, make_request: Callable[..., Any]) -> None:
    """A file whose values stand in no column of their own, as DuckDB may write them, is not merged."""
    con, folder = store.cursor(), store.folder
    path = folder / "odd.parquet"
    spans = decode_shredded_traces([make_request(3, attributes={"a": 1}).SerializeToString()]).shredded
    rows = file_rows(spans, 1, columns_of(con, "spans_recent"), con)
    write_rows(path, [rows], rows.schema)
    con.execute(
        f"COPY (SELECT * REPLACE ({{'a': 1, 'rest': 2}}::VARIANT AS attributes) FROM read_parquet('{path}'))"
        f" TO '{folder / 'rest.parquet'}' (FORMAT parquet, SHREDDING {{attributes: 'STRUCT(a INTEGER)'}})"
    )
    con.close()
    assert pq.ParquetFile(folder / "rest.parquet").metadata.num_rows == 3
    with pytest.raises(Unlike):
        merge_files(
            SEALED["traces"], [path, folder / "rest.parquet"], folder / "m" / "a" / "b" / "m.parquet", 300
        )
