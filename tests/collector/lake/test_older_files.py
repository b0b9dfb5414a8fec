"""Lake files of the format before this one, and lakes that hold both: the same rows, rewritten in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.store.file_columns import MICROSECONDS, NANOSECONDS, columns_of, read_columns
from collector.store.lake import SEALED_SIGNALS, quoted
from collector.store.store import Store

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
STRAGGLERS_WAIT_S = 3601
OPTIONS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048"  # the least that DuckDB allows


def snapshot_of(store: Store, prefix: str = "") -> dict[str, list[Any]]:
    """Every row of the three views, VARIANTs as text with their types, times as whole nanoseconds."""
    found = {}
    for signal in SEALED_SIGNALS:
        texts = []
        for name, kind in columns_of(store.cursor(), signal.view):
            if "VARIANT" in kind:
                texts.append(f'"{name}"::VARIANT::VARCHAR')
            else:
                texts.append(f'epoch_ns("{name}")' if kind == "TIMESTAMP_NS" else f'"{name}"')
        query = f"SELECT {', '.join(texts)} FROM {prefix}{signal.view} ORDER BY ALL"
        found[signal.view] = store.read(query).to_pylist()
    return found


def make_older(store: Store) -> None:
    """Bring every listed file and the database to what the Spyhop of schema version 6 wrote."""
    with store.transaction() as con:
        for signal in SEALED_SIGNALS:
            columns = columns_of(con, signal.table)
            nested = [f'"{name}"::VARIANT AS "{name}"' for name, _ in filter(lambda c: c.is_nested, columns)]
            written = f"* REPLACE ({', '.join(nested)})" if nested else "*"
            read = read_columns(columns, signal.time_column, MICROSECONDS)
            paths = con.execute("SELECT path FROM lake_files WHERE signal = ?", [signal.label]).fetchall()
            for (path,) in paths:
                file, older = store.lake / path, store.lake / f"{path}.older"
                rows = f"SELECT {read} FROM read_parquet({quoted(file)}, hive_partitioning = false)"
                con.execute(f"COPY (SELECT {written} FROM ({rows})) TO {quoted(older)} ({OPTIONS})")
                older.replace(file)
                con.execute(
                    "UPDATE lake_files SET size_bytes = ? WHERE path = ?", [file.stat().st_size, path]
                )
        con.execute("ALTER TABLE lake_files DROP COLUMN file_format")
        con.execute("ALTER TABLE lake_foreign_files DROP COLUMN file_format")
        con.execute("DELETE FROM schema_version")
        con.execute("INSERT INTO schema_version SELECT 6, make_timestamp_ns(0), 'as it was'")


def formats(lake: Any) -> list[int]:
    query = "SELECT file_format FROM lake_files WHERE expired_at IS NULL ORDER BY first_time, signal"
    return list(lake.store.read(query)["file_format"].to_pylist())


def is_older(path: Path) -> bool:
    """Whether a file holds nanoseconds in one column."""
    return any(field.type == pa.timestamp("ns") for field in pq.read_schema(path))


def test_older_lake_is_read_and_rewritten(lake: Any) -> None:
    """A lake of the format before shows the same rows, alone and beside new files, and each of its files is
    rewritten in the background, down to bytes and nanoseconds inside events."""
    lake.land(5)
    lake.land_others()
    lake.land(3, hours=1)
    lake.settle_and_seal()
    before = snapshot_of(lake.store)
    make_older(lake.store)
    lake.reopen()
    assert all(map(is_older, lake.files()))
    assert (formats(lake), snapshot_of(lake.store)) == ([NANOSECONDS] * 4, before)
    lake.land(4, hours=2)
    mixed = snapshot_of(lake.store)
    assert lake.settle_and_seal() == 4
    assert sorted(set(formats(lake))) == [NANOSECONDS, MICROSECONDS]
    assert snapshot_of(lake.store) == mixed
    for _ in range(5):
        lake.pass_time(STRAGGLERS_WAIT_S)
        assert snapshot_of(lake.store) == mixed
    assert formats(lake) == [MICROSECONDS] * 5
    assert not any(is_older(lake.store.lake / path) for path in lake.listed())


def test_older_and_new_file_become_one(lake: Any) -> None:
    """Compaction makes one file of an hour's older and new ones, and changes no value."""
    lake.land(4)
    lake.land_others()
    lake.settle_and_seal()
    make_older(lake.store)
    lake.reopen()
    lake.land(3)
    lake.land_others()
    before = snapshot_of(lake.store)
    # A look that compacts the hour comes before one that would rewrite its older files alone.
    lake.sealer.rewrite_older = lambda: None
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert len(formats(lake)) == 6
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert (formats(lake), snapshot_of(lake.store)) == ([MICROSECONDS] * 3, before)


@pytest.mark.parametrize("is_listed_older", [True, False])
def test_other_collectors_older_files(
    tmp_path: Path, make_lake: Callable[[Store], Any], is_listed_older: bool
) -> None:
    """Files that an older Spyhop lists in a shared lake are read as they are."""
    writer = make_lake(Store.open(tmp_path / "a", lake=tmp_path / "lake"))
    writer.land(4)
    writer.land_others()
    writer.settle_and_seal()
    before = snapshot_of(writer.store)
    if is_listed_older:
        make_older(writer.store)
        (listing,) = (tmp_path / "lake" / "_files").glob("*.parquet")
        older = pq.read_table(listing).drop_columns(["file_format"])
        pq.write_table(older, listing)
    reader = make_lake(Store.open(tmp_path / "b", lake=tmp_path / "lake"))
    reader.sealer.run_once()
    assert snapshot_of(reader.store, "all_") == before


def test_listing_of_a_newer_spyhop(
    tmp_path: Path, make_lake: Callable[[Store], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Files whose format is not known yet are left out with a warning, and take nothing from the others."""
    writer = make_lake(Store.open(tmp_path / "a", lake=tmp_path / "lake"))
    ids = writer.land(4)
    writer.settle_and_seal()
    writer.land(2, hours=1)
    with writer.store.transaction() as con:
        con.execute("UPDATE lake_files SET file_format = 3")
    writer.sealer.listing.publish()
    reader = make_lake(Store.open(tmp_path / "b", lake=tmp_path / "lake"))
    own = reader.land(1)
    reader.sealer.run_once()
    assert reader.ids("all_spans") == own
    assert "a newer Spyhop" in caplog.text
    with writer.store.transaction() as con:
        con.execute("UPDATE lake_files SET file_format = 2")
    writer.sealer.run_once()
    reader.sealer.run_once()
    assert reader.ids("all_spans") == sorted(ids + own)


@pytest.mark.parametrize("is_old", [False, True])
def test_time_ranges_skip_row_groups(lake: Any, monkeypatch: pytest.MonkeyPatch, is_old: bool) -> None:
    """A condition on time is part of the scan, of older files too, and other row groups are not read."""
    monkeypatch.setattr("collector.lake.parquet._OPTIONS", OPTIONS)
    lake.land(6_144)  # a nanosecond apart
    lake.settle_and_seal()
    if is_old:
        make_older(lake.store)
        lake.reopen()
    first = NOON_NS + 1
    time = "start_time" if is_old else "start_time_unix_nano"
    break_row_groups_without(lake.files()[0], "span_id", time, first + 5_000)
    whole = "SELECT count(DISTINCT span_id) AS n FROM spans WHERE start_time >= make_timestamp_ns({})"
    narrow = f"{whole.format(first + 5_000)} AND start_time < make_timestamp_ns({first + 5_001})"
    assert lake.store.read(narrow)["n"].to_pylist() == [1]
    assert "─ Filter " not in str(lake.store.read(f"EXPLAIN {narrow}").to_pylist())
    with pytest.raises(duckdb.Error):
        lake.store.read(whole.format(first))


def break_row_groups_without(path: Path, broken: str, time: str, unix_nano: int) -> None:
    """Overwrite what the row groups that do not hold a time have of a column."""
    with pq.ParquetFile(path) as parquet:
        groups = [
            parquet.metadata.row_group(number)
            for number in range(parquet.num_row_groups)
            if unix_nano not in parquet.read_row_group(number, [time])[time].cast(pa.int64()).to_pylist()
        ]
    assert len(groups) == 2
    with path.open("r+b") as file:
        for group in groups:
            columns = map(group.column, range(group.num_columns))
            (chunk,) = (column for column in columns if column.path_in_schema == broken)
            file.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
            file.write(bytes(chunk.total_compressed_size))
