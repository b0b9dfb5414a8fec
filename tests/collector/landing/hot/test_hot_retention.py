"""Hot files in the size of the store, and in its limit."""

from __future__ import annotations

from collector.lake.retention import EXPIRED_KEEP_S
from collector.lake.sealer import Policy, Sealer
from tests.collector.landing.hot.line import Line

LONG_S = 1_000_000.0  # no hour is over for so long


def sealer_of(line: Line, max_bytes: int, files_share: float = 0.0) -> Sealer:
    """One that seals nothing."""
    policy = Policy(LONG_S, 0, 60, retention_max_bytes=max_bytes, files_share=files_share)
    return Sealer(line.store, policy, clock_ns=lambda: line.now_ns)


def test_hot_files_count_in_the_limit(line: Line) -> None:
    """Beyond the limit the oldest files leave, be they hot or of the lake: what stays on the disk fits it."""
    empty = sealer_of(line, 0).status()
    assert [empty[name] for name in ("files", "rows", "bytes", "hot_files", "hot_rows", "hot_bytes")] == [
        0
    ] * 6
    line.land(line.request(9))
    line.sealer.run_once()
    line.land(line.request(9, first=101, hours=1))
    line.land(line.request(9, first=201, hours=1))
    assert line.places() == {"lake": 9, "hot": 18}
    line.store.checkpoint()  # so that the database does not grow in the runs below
    held = sealer_of(line, 0).status()
    assert held["hot_files"] == 2
    files = [*line.store.folder.glob("hot/*/*.parquet"), *line.store.lake.glob("*/date=*/*/*.parquet")]
    expired = line.value(
        "SELECT coalesce(sum(size_bytes), 0)::BIGINT FROM hot_files WHERE expired_at IS NOT NULL"
    )
    assert held["hot_bytes"] + held["bytes"] + expired == sum(file.stat().st_size for file in files)

    limit = held["hot_bytes"] + held["bytes"] + line.store.sizes().used_bytes
    sealer_of(line, limit).run_once()
    assert line.places() == {"lake": 9, "hot": 18}
    sealer_of(line, limit - 1).run_once()
    assert line.places() == {"hot": 18}
    sealer = sealer_of(line, held["hot_bytes"] + line.store.sizes().used_bytes - 1)
    sealer.run_once()
    assert line.value("SELECT list(DISTINCT span_id >= '00000000000000c9') FROM spans") == [True]
    assert line.places() == {"hot": 9}
    line.now_ns += (EXPIRED_KEEP_S + 1) * 1_000_000_000
    sealer.run_once()
    (left,) = (file for file in files if file.exists())
    assert left.stat().st_size == sealer.status()["hot_bytes"]


def test_a_database_beyond_the_limit_is_told(line: Line) -> None:
    """Where the database alone is beyond the limit, the lake's check says so, and which setting helps."""
    line.land(line.request(9), fast=False)
    line.store.checkpoint()
    has_bytes = line.store.sizes().used_bytes
    sealer = sealer_of(line, has_bytes - 1)
    sealer.run_once()
    assert line.places() == {"table": 9}
    told = str(sealer.status()["failure"])
    assert f"{has_bytes} bytes" in told
    assert "lower SPYHOP_SEAL_AFTER_MIN" in told
    assert sealer_of(line, has_bytes + 1).status()["failure"] == ""


def test_files_keep_their_share(line: Line) -> None:
    """A database that fills the limit by itself takes none of the files that fit into half of it."""
    line.land(line.request(9))
    line.sealer.run_once()
    line.store.checkpoint()
    has_bytes = line.store.sizes().used_bytes
    held = sealer_of(line, 0).status()
    assert held["bytes"] * 4 < has_bytes
    sealer_of(line, has_bytes, files_share=0.5).run_once()
    assert line.places() == {"lake": 9}
    assert "Parquet files keep 50%" in str(sealer_of(line, has_bytes, files_share=0.5).status()["failure"])
    sealer_of(line, has_bytes).run_once()
    assert line.places() == {}
