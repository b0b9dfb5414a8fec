"""Lake files as engines without Spyhop read them. Spark: tests/benchmarks/spark_lake.py."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NANOSECONDS = {
    "traces": ("start_time",),
    "logs": ("time", "observed_time"),
    "metrics": ("time",),  # nothing was sent for `start_time`
}
VIEWS = {"traces": "spans", "logs": "logs", "metrics": "metrics"}


def unix_nano(table: pa.Table, time: str) -> list[int]:
    """Microseconds and the rest, as any engine adds them."""
    whole = pc.multiply(table[time].cast(pa.int64()), 1000)
    return sorted(pc.add(whole, table[f"{time}_ns_rest"].cast(pa.int64())).to_pylist())


def test_times_in_microseconds(lake: Any) -> None:
    """Each time of a file is a timestamp in microseconds, and exact with its rest of 0 to 999 ns."""
    lake.land(3)
    lake.land_others()
    exact = {
        signal: {
            time: lake.store.read(f'SELECT epoch_ns("{time}") AS t FROM {VIEWS[signal]} ORDER BY 1')["t"]
            for time in times
        }
        for signal, times in NANOSECONDS.items()
    }
    lake.settle_and_seal()
    for path in lake.files():
        signal = path.relative_to(lake.store.lake).parts[0]
        table = pq.ParquetFile(path).read()
        assert pa.timestamp("ns") not in table.schema.types
        for time, expected in exact[signal].items():
            assert table.schema.field(time).type == pa.timestamp("us")
            assert unix_nano(table, time) == expected.to_pylist()
            assert set(table[f"{time}_ns_rest"].to_pylist()) <= set(range(1000))


def test_attribute_as_a_typed_column(lake: Any) -> None:
    """pyarrow reads one attribute of all spans as a column of its own type, without the others."""
    lake.land(3)
    lake.settle_and_seal()
    (path,) = lake.files()
    for key, value in (("text", "é"), ("n", 2**62), ("blob", b"\x00\xff"), ("yes", True)):
        column = pq.ParquetFile(path).read([f"attributes.typed_value.{key}.typed_value"])["attributes"]
        for name in ("typed_value", key, "typed_value"):
            column = pc.struct_field(column, name)
        assert column.to_pylist() == [value] * 3


def test_polars(lake: Any) -> None:
    """Polars reads plain columns through pyarrow: its own reader knows no VARIANT."""
    lake.land(3)
    lake.settle_and_seal()
    columns = ["service_name", "start_time", "start_time_ns_rest", "duration_ns"]
    spans = pl.read_parquet(lake.files(), columns=columns, use_pyarrow=True)
    assert spans["start_time"].dtype == pl.Datetime("us")
    assert spans["start_time_ns_rest"].to_list() == [1, 2, 3]
    assert spans.group_by("service_name").agg(pl.len(), pl.col("duration_ns").max()).rows()[0][1:] == (3, 7)
