"""Several collectors, one lake: nobody's files collide, and everybody's rows can be read, each once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import duckdb
import httpx2
import polars as pl
import pytest

from collector.errors import DataFolderInUse, DataFolderUnusable
from collector.lake.retention import EXPIRED_KEEP_S
from collector.store.store import Store

SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), lake=Path(sys.argv[2]), otlp_grpc=anywhere, otlp_http=anywhere,
                    api=anywhere, land_interval_ms=20, seal_settle_min=0, seal_interval_s=0.1,
                    sql_timeout_s=120)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""
HOUR_NS = 3_600_000_000_000
PROTOBUF = {"content-type": "application/x-protobuf"}


class Collector:
    """A server process with a data folder of its own."""

    def __init__(self, data: Path, lake: Path, make_request: Callable[..., Any]) -> None:
        self.data, self._make_request = data, make_request
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, data, lake], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        addresses = json.loads(self.process.stdout.readline())
        self.otlp = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False, timeout=60)
        self.api = httpx2.Client(base_url=addresses["api"], trust_env=False, timeout=60)
        self.sent: list[str] = []

    def send(self, hours: int) -> None:
        """Twenty spans in each of some hours that are long over."""
        request = self._make_request(20 * hours, attributes={"n": 1})
        for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
            span.start_time_unix_nano -= (3000 + number % hours) * HOUR_NS
            span.end_time_unix_nano = span.start_time_unix_nano + 5
            self.sent.append(span.span_id.hex())
        body = request.SerializeToString()
        self.otlp.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()

    def rows(self, query: str) -> list[list[Any]]:
        answer = self.api.post("/api/sql", json={"query": query}).raise_for_status().json()
        return list(answer["rows"])

    def has_sealed(self) -> bool:
        """Whether all that was sent lies in the lake."""
        recent, all_own = self.rows(
            "SELECT (SELECT count(*) FROM spans_recent), (SELECT count(*) FROM spans)"
        )[0]
        return bool(recent == 0 and all_own == len(self.sent))

    def stop(self) -> None:
        self.otlp.close()
        self.api.close()
        self.process.terminate()
        self.process.communicate(timeout=20)


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline_s = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline_s, "it does not come about"
        sleep(0.05)


@pytest.fixture
def pair(tmp_path: Path, make_request: Callable[..., Any]) -> Iterator[list[Collector]]:
    """Two servers that write into `tmp_path / "lake"`."""
    collectors = [Collector(tmp_path / name, tmp_path / "lake", make_request) for name in ("a", "b")]
    yield collectors
    for collector in collectors:
        collector.stop()


def listed_paths(lake: Path) -> list[Path]:
    """Reads the lake without Spyhop, by the files that the listings name."""
    paths = pl.read_parquet(lake / "_files" / "*.parquet")["path"]
    return [lake / path for path in paths]


def test_two_servers_share_a_lake(tmp_path: Path, pair: list[Collector]) -> None:
    """Two servers seal and compact the same hours at once; each shows its own rows in `spans` and all in
    `all_spans`, and other engines read them from the listed files, each row once."""
    lake = tmp_path / "lake"
    for _ in range(4):  # each pass comes late for the hours of the first: further files, then compaction
        for collector in pair:
            collector.send(3)
        for collector in pair:
            wait_until(collector.has_sealed)
    sent = sorted(pair[0].sent + pair[1].sent)
    for collector in pair:
        wait_until(
            lambda c=collector: c.rows("SELECT count(*) FROM lake_files WHERE expired_at IS NULL") == [[3]]  # type: ignore[misc]  # bound now
        )
        own = collector.rows("SELECT span_id FROM spans ORDER BY 1")
        assert [row[0] for row in own] == sorted(collector.sent)
    for collector in pair:
        wait_until(
            lambda c=collector: c.rows("SELECT span_id FROM all_spans ORDER BY 1") == [[i] for i in sent]  # type: ignore[misc]  # bound now
        )
        assert collector.rows(
            "SELECT count(*), count(DISTINCT attributes['n']::BIGINT) FROM all_spans GROUP BY collector_id"
        ) == [[240, 1], [240, 1]]
    wait_until(lambda: len(listed_paths(lake)) == 6)
    assert (
        sorted(pl.read_parquet(listed_paths(lake), columns=["span_id"], use_pyarrow=True)["span_id"]) == sent
    )
    files = list(map(str, listed_paths(lake)))
    with duckdb.connect() as con:
        found = con.execute("SELECT span_id FROM read_parquet(?) ORDER BY 1", [files]).fetchall()
    assert [row[0] for row in found] == sent
    names = [path.name for path in lake.glob("*/*/*/*.parquet")]
    assert len(names) == len(set(names)) > 6  # those that were compacted wait for their end


def test_copy_of_a_served_folder_is_refused(tmp_path: Path, store: Store) -> None:
    """A copy of a data folder would delete the original's files as its own: it is refused meanwhile."""
    lake = tmp_path / "lake"
    store.close()
    with_lake = Store.open(store.folder, lake=lake)
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    with pytest.raises(DataFolderInUse, match="a copy of this data folder is being served"):
        Store.open(copy)
    with_lake.close()
    Store.open(copy).close()


def test_lake_is_remembered(tmp_path: Path, store: Store, make_lake: Callable[[Store], Any]) -> None:
    """A folder that was served with a lake elsewhere finds it again without being told; a lake that has
    moved must be named; a file that somebody deleted is reported and its rows are gone, no more."""
    store.close()
    elsewhere = tmp_path / "elsewhere"
    kept = make_lake(Store.open(store.folder, lake=elsewhere))
    ids = kept.land(3)
    lost = kept.land(2, hours=1)
    kept.settle_and_seal()
    kept.reopen()
    assert kept.store.lake == elsewhere
    assert kept.ids() == sorted(ids + lost)
    kept.store.close()
    moved = elsewhere.rename(tmp_path / "moved")
    with pytest.raises(DataFolderUnusable, match=r"holds none of the 2 files .*--lake DIR"):
        Store.open(store.folder)
    kept.store = Store.open(store.folder, lake=moved)
    assert kept.ids() == sorted(ids + lost)
    kept.files()[1].unlink()
    kept.reopen()
    assert kept.ids() == sorted(ids)


def test_files_outlive_their_listing(tmp_path: Path, make_lake: Callable[[Store], Any]) -> None:
    """A reader of a listing has two minutes to open its files, also when they are compacted meanwhile."""
    lake = make_lake(Store.open(tmp_path / "data"))
    ids = lake.land(3)
    lake.settle_and_seal()
    ids += lake.land(3)
    lake.pass_time(3601)
    before = listed_paths(lake.store.lake)
    lake.pass_time(3601)
    after = listed_paths(lake.store.lake)
    assert (len(before), len(after)) == (2, 1)
    for paths in (before, after):
        assert sorted(pl.read_parquet(paths, columns=["span_id"], use_pyarrow=True)["span_id"]) == sorted(ids)
    lake.now_ns += (EXPIRED_KEEP_S + 1) * 1_000_000_000
    lake.sealer.run_once()
    assert lake.files() == after


def test_foreign_listing_is_not_trusted(tmp_path: Path, make_lake: Callable[[Store], Any]) -> None:
    """A listing that is no Parquet, or names files outside the lake, takes nothing from the own rows."""
    lake = make_lake(Store.open(tmp_path / "data"))
    ids = lake.land(3)
    lake.settle_and_seal()
    folder = lake.store.lake / "_files"
    (folder / "broken.parquet").write_bytes(b"nonsense")
    own = pl.read_parquet(folder / f"{lake.sealer.listing.collector_id}.parquet")
    own.with_columns(path="../../" + pl.col("path"), collector_id=pl.lit("evil")).write_parquet(
        folder / "evil.parquet"
    )
    lake.sealer.run_once()
    assert lake.ids("all_spans") == sorted(ids)


def test_lake_of_version_2(lake: Any) -> None:
    """Files that version 2 listed relative to the data folder are found after the step to version 3."""
    ids = lake.land(3)
    ids += lake.land(2, hours=1)
    lake.settle_and_seal()
    with lake.store.transaction() as con:
        con.execute("UPDATE lake_files SET path = 'lake/' || path")
        con.execute("ALTER TABLE lake_identity DROP COLUMN lake_folder")
        con.execute("DROP VIEW feedback")
        con.execute("DROP TABLE feedback_events")
        con.execute("ALTER TABLE baselines RENAME self_time_p50_ns TO exclusive_p50_ns")
        con.execute("DELETE FROM schema_version")
        con.execute("INSERT INTO schema_version SELECT 2, make_timestamp_ns(0), 'as it was'")
    lake.reopen()
    assert lake.ids() == sorted(ids)
    assert [path.relative_to(lake.store.lake).as_posix() for path in lake.files()] == lake.listed()
