"""Rows that move to Parquet: the same rows, once, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import collector.seal
from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.seal import EXPIRED_KEEP_S, Policy, Sealer
from collector.store.lake import SEALED_SIGNALS
from collector.store.store import Store

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
ATTRIBUTES = {
    "text": "é",
    "n": 2**62,
    "ratio": float("nan"),
    "blob": b"\x00\xff",
    "list": [1, "a"],
    "yes": True,
}
EVERYTHING = "SELECT * REPLACE (CAST(COLUMNS('attributes') AS VARCHAR)) FROM spans ORDER BY ALL"


class Fixture:
    """A store, a clock that a test moves, and a sealer that looks when a test says so."""

    def __init__(self, store: Store, make_request: Callable[..., Any], any_value: Callable[..., Any]) -> None:
        self.store, self._make_request, self._any_value = store, make_request, any_value
        self.now_ns = NOON_NS + 100 * HOUR_NS
        self.batch_id = 0
        self.sealer = self.make_sealer()

    def make_sealer(self, **changes: Any) -> Sealer:
        policy = Policy(seal_after_s=7200, settle_s=600, interval_s=60)._replace(**changes)
        return Sealer(self.store, policy, clock_ns=lambda: self.now_ns)

    def land(self, span_count: int = 3, *, hours: int = 0) -> list[str]:
        """Spans that start `hours` after noon; returns their ids."""
        self.batch_id += 1
        request = self._make_request(span_count, attributes=ATTRIBUTES)
        spans = request.resource_spans[0].scope_spans[0].spans
        for number, span in enumerate(spans):
            span.start_time_unix_nano = NOON_NS + hours * HOUR_NS + number + 1
            span.end_time_unix_nano = span.start_time_unix_nano + 7
            event = span.events.add(time_unix_nano=span.start_time_unix_nano + 1, name="e")
            event.attributes.add(key="blob", value=self._any_value(b"\x01\xfe"))
            link = span.links.add(trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x02")
            link.attributes.add(key="deep", value=self._any_value({"a": [1.5]}))
        self._insert("spans_recent", decode_traces([request.SerializeToString()]))
        return [span.span_id.hex() for span in spans]

    def land_others(self) -> None:
        """A log record and a histogram point with an exemplar, at noon."""
        self.batch_id += 1
        logs = ExportLogsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOON_NS + 1)
        record.body.CopyFrom(self._any_value({"message": [b"\xff"]}))
        self._insert("logs_recent", decode_logs([logs.SerializeToString()]))
        metrics = ExportMetricsServiceRequest()
        metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="latency")
        point = metric.histogram.data_points.add(time_unix_nano=NOON_NS + 1, bucket_counts=[1, 2], count=3)
        exemplar = point.exemplars.add(time_unix_nano=NOON_NS, as_double=0.5)
        exemplar.filtered_attributes.add(key="k", value=self._any_value(b"\x00"))
        (table,) = decode_metrics([metrics.SerializeToString()])
        self._insert("metrics_recent", table)

    def settle_and_seal(self) -> int:
        """Look, wait until what has landed is settled, and look again."""
        moved = self.sealer.run_once()
        self.now_ns += 601 * 1_000_000_000
        return moved + self.sealer.run_once()

    def ids(self, source: str = "spans") -> list[str]:
        return sorted(self.store.read(f"SELECT span_id FROM {source}")["span_id"].to_pylist())

    def files(self) -> list[Path]:
        return sorted((self.store.folder / "lake").rglob("*.parquet*"))

    def _insert(self, table: str, rows: Any) -> None:
        with self.store.transaction() as con:
            con.register("rows", rows)
            con.execute(f"INSERT INTO {table} BY NAME SELECT {self.batch_id} AS batch_id, * FROM rows")
            con.execute("UPDATE landing_position SET batch_id = ?", [self.batch_id])


@pytest.fixture
def lake(store: Store, make_request: Callable[..., Any], any_value: Callable[..., Any]) -> Iterator[Fixture]:
    return Fixture(store, make_request, any_value)


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


def test_same_rows_before_and_after(lake: Fixture) -> None:
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


def test_layout(lake: Fixture) -> None:
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


def test_young_rows_stay(lake: Fixture) -> None:
    """What has just landed stays, however old its times; so does an hour that is not over long enough."""
    lake.land(3)
    assert lake.sealer.run_once() == 0
    lake.now_ns = NOON_NS + 3 * HOUR_NS - 1
    assert lake.settle_and_seal() == 0 or lake.now_ns >= NOON_NS + 3 * HOUR_NS
    lake.now_ns = NOON_NS + 3 * HOUR_NS
    assert lake.settle_and_seal() + len(lake.ids("spans_recent")) == 3


def test_stragglers(lake: Fixture) -> None:
    """A few late spans of a sealed hour stay in the database, and are seen."""
    early = lake.land(3)
    lake.settle_and_seal()
    late = lake.land(2)
    assert lake.settle_and_seal() == 0
    assert lake.ids() == sorted(early + late)
    assert lake.ids("spans_recent") == sorted(late)


def test_readers_see_each_row_once(lake: Fixture) -> None:
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


STEPS = ["collector.seal._make_durable", "collector.seal.refresh_views", "collector.seal.file_columns"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_crash_while_moving(lake: Fixture, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
    """A move that ends at any step has not happened; its file goes, and the next look moves the rows."""
    ids = lake.land(5)
    real = getattr(collector.seal, step.rpartition(".")[2])

    def crash(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, crash)
        with pytest.raises(KeyboardInterrupt):
            lake.settle_and_seal()
    assert lake.ids() == sorted(ids)
    reopened = reopen(lake)
    assert lake.ids("spans_recent") == sorted(ids)
    lake.settle_and_seal()
    assert lake.ids() == sorted(ids)
    assert lake.ids("spans_recent") == []
    assert len(lake.files()) == 1
    reopened.close()


def reopen(lake: Fixture) -> Store:
    folder = lake.store.folder
    lake.store.close()
    lake.store = Store.open(folder)
    lake.sealer = lake.make_sealer()
    return lake.store


def test_views_after_reopening(lake: Fixture) -> None:
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


def test_other_collectors_files_stay(lake: Fixture) -> None:
    """Files that another collector wrote into the same folder are neither read nor removed."""
    lake.land(1)
    lake.settle_and_seal()
    (own,) = lake.files()
    other = own.with_name("ffffffff-000000000009.parquet")
    other.write_bytes(own.read_bytes())
    lake.sealer.run_once()
    assert other.exists()
    assert len(lake.ids()) == 1


def test_new_batches_open_no_file(lake: Fixture) -> None:
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


def test_retention_by_age(lake: Fixture) -> None:
    """Rows older than the retention leave the views at once, and their files some time later."""
    lake.land(3)
    kept = lake.land(2, hours=50)
    lake.settle_and_seal()
    lake.land(1)  # a straggler of the old hour, never sealed
    lake.sealer = lake.make_sealer(retention_s=60 * 3600)
    lake.sealer.run_once()
    assert lake.ids() == sorted(kept)
    assert len(lake.files()) == 2
    lake.now_ns += (EXPIRED_KEEP_S + 1) * 1_000_000_000
    lake.sealer.run_once()
    assert len(lake.files()) == 1
    assert lake.ids() == sorted(kept)


def test_retention_by_size(lake: Fixture) -> None:
    """Beyond the size of the lake its oldest hours leave first."""
    lake.land(30)
    newer = lake.land(30, hours=5)
    lake.settle_and_seal()
    sizes = [path.stat().st_size for path in lake.files()]
    lake.sealer = lake.make_sealer(retention_max_bytes=sum(sizes) - 1)
    lake.sealer.run_once()
    assert lake.ids() == sorted(newer)


def test_interrupted_by_stop(lake: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping gives up a move under way at once."""
    ids = lake.land(3)
    sealer = lake.make_sealer(interval_s=0.01, settle_s=0)
    started = threading.Event()

    def slow(con: duckdb.DuckDBPyConnection, table: str) -> tuple[str, str]:
        started.set()
        con.execute(
            "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range, b.range) = 1"
        )
        return "*", "*"

    monkeypatch.setattr("collector.seal.file_columns", slow)
    sealer.start()
    assert started.wait(5)
    sealer.stop(5)
    assert not sealer._thread.is_alive()
    assert lake.ids() == sorted(ids)
