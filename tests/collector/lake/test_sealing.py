"""Rows that move to Parquet: the same rows, once, whatever happens meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from collector.lake.compaction import ROWS_PER_FILE_MAX, ROWS_PER_FILE_MIN, rows_that_fit
from collector.lake.parquet import write_file
from collector.store.lake import SEALED_SIGNALS
from collector.store.store import Store

HOUR_NS = 3_600_000_000_000
STRAGGLERS_WAIT_S = 3601


def snapshot_of(store: Store) -> dict[str, Any]:
    """Every row of the three views, VARIANTs as text with their types."""
    found = {}
    for signal in SEALED_SIGNALS:
        columns = store.read(f"SELECT column_name, column_type FROM (DESCRIBE {signal.view})").to_pylist()
        texts = ", ".join(
            f'"{c["column_name"]}"::VARIANT::VARCHAR'
            if "VARIANT" in c["column_type"]
            else f'"{c["column_name"]}"'
            for c in columns
        )
        found[signal.view] = (
            columns,
            store.read(f"SELECT {texts} FROM {signal.view} ORDER BY ALL").to_pylist(),
        )
    return found


def test_same_rows_before_and_after(lake: Any) -> None:
    """Sealing changes no column, type or value of any signal, down to bytes inside events and links."""
    lake.land(5)
    lake.land(2, hours=1)
    lake.land_others()
    before = snapshot_of(lake.store)
    assert lake.settle_and_seal() == 9
    assert lake.ids("spans_recent") == []
    assert snapshot_of(lake.store) == before
    blob = (
        "SELECT events[1].attributes['blob']::BLOB AS b, links[1].attributes['deep']['a'][1]::DOUBLE AS d"
        " FROM spans"
    )
    assert lake.store.read(blob).to_pylist()[0] == {"b": b"\x01\xfe", "d": 1.5}


def test_layout(lake: Any) -> None:
    """A file an hour and signal under date= and hour=, zstd, in the order service, name, start."""
    lake.land(4)
    lake.land(4, hours=1)
    lake.settle_and_seal()
    folders = [path.parent.relative_to(lake.store.folder).as_posix() for path in lake.files()]
    assert folders == ["lake/traces/date=2026-09-21/hour=14", "lake/traces/date=2026-09-21/hour=15"]
    file = pq.ParquetFile(lake.files()[0])
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    rows = file.read(["service_name", "span_name", "start_time"]).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["service_name"], row["span_name"], row["start_time"]))


def test_young_rows_stay(lake: Any) -> None:
    """What has just landed stays, however old its times; so does an hour that is not over long enough."""
    lake.land(3, hours=97)  # the hour that ends three hours from now
    assert lake.sealer.run_once() == 0
    lake.now_ns += 599 * 1_000_000_000
    assert lake.sealer.run_once() == 0
    assert len(lake.ids("spans_recent")) == 3
    lake.land(2, hours=100)
    lake.now_ns += 2 * 1_000_000_000
    assert lake.sealer.run_once() == 3
    lake.now_ns += HOUR_NS
    assert lake.sealer.run_once() == 0
    assert len(lake.ids("spans_recent")) == 2


def test_readers_see_each_row_once(lake: Any) -> None:
    """While hours move, every count that a reader takes is the whole."""
    for hour in range(6):
        lake.land(50, hours=hour)
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(lake.store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        assert lake.settle_and_seal() == 300
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert len(counts) > 2
    assert set(counts) == {300}


def test_views_after_reopening(lake: Any) -> None:
    """A process that starts sees recent and sealed rows alike, also after the folder has moved."""
    ids = lake.land(3)
    lake.settle_and_seal()
    ids += lake.land(1, hours=200)
    folder = lake.store.folder
    lake.store.close()
    moved = folder.rename(folder.with_name("it's moved"))
    lake.store = Store.open(moved)
    try:
        assert lake.ids() == sorted(ids)
    finally:
        lake.store.close()


def test_new_batches_open_no_file(lake: Any) -> None:
    """A query for newly landed batches, or for another time, is planned without the lake."""
    lake.land(3)
    lake.settle_and_seal()
    for path in lake.files():
        path.with_suffix(".hidden").write_bytes(path.read_bytes())
    for condition in (f"batch_id > {lake.batch_id}", "start_time > TIMESTAMP '2026-11-01'"):
        plan = lake.store.read(f"EXPLAIN SELECT span_id FROM spans WHERE {condition}").to_pylist()
        assert "PARQUET" not in str(plan).upper()
    plan = lake.store.read("EXPLAIN SELECT span_id FROM spans").to_pylist()
    assert "PARQUET" in str(plan).upper()


def test_interrupted_by_stop(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping gives up a move under way at once."""
    ids = lake.land(3)
    sealer = lake.make_sealer(interval_s=0.01, settle_s=0)
    started = threading.Event()

    def slow(con: duckdb.DuckDBPyConnection, table: str) -> list[Any]:
        started.set()
        con.execute(
            "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range, b.range) = 1"
        )
        return []

    monkeypatch.setattr("collector.lake.moving.columns_of", slow)
    sealer.start()
    assert started.wait(5)
    sealer.stop(5)
    assert not sealer.is_busy
    assert lake.ids() == sorted(ids)


def test_large_hour_in_several_files(lake: Any) -> None:
    """An hour with more rows than a file may have becomes several files, earliest rows first."""
    ids = lake.land(5)
    lake.sealer.rows_max = 2
    assert lake.settle_and_seal() == 2
    assert lake.ids() == sorted(ids)
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert lake.ids("spans_recent") == []
    assert lake.ids() == sorted(ids)
    counts = lake.store.read("SELECT row_count FROM lake_files ORDER BY first_time")
    assert counts["row_count"].to_pylist() == [2, 2, 1]


def test_short_memory(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours that do not fit into memory are sealed in smaller files, and a failed attempt leaves no file."""
    ids = lake.land(5)

    def write(con: Any, target: Path, signal: Any, rows: str, row_count: int, **options: Any) -> int:
        written = write_file(con, target, signal, rows, row_count, **options)
        if written > 2:
            raise duckdb.OutOfMemoryException("failed to allocate data")
        return written

    monkeypatch.setattr("collector.lake.moving.write_file", write)
    monkeypatch.setattr("collector.lake.sealer.ROWS_PER_FILE_MIN", 1)
    lake.settle_and_seal()
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert lake.ids("spans_recent") == []
    assert lake.ids() == sorted(ids)
    assert len(lake.files()) == len(lake.listed()) == 3


def test_rows_follow_memory(tmp_path: Path) -> None:
    """The rows of a file follow DuckDB's memory limit, between what is worth a file and the most."""
    store = Store.open(tmp_path, memory_limit="300MB")
    assert store.memory_limit_bytes() == pytest.approx(300e6, rel=0.001)
    store.close()
    assert rows_that_fit(300_000_000) == 50_000
    assert rows_that_fit(0) == ROWS_PER_FILE_MIN
    assert rows_that_fit(1 << 40) == ROWS_PER_FILE_MAX
