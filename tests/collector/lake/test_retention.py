"""Rows and files that leave by age and by size, and only the collector's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector.lake.retention import EXPIRED_KEEP_S
from collector.store.store import Store


def test_retention_by_age(lake: Any) -> None:
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


def test_retention_by_size(lake: Any) -> None:
    """Beyond the size of database and lake the oldest hours leave first."""
    lake.land(30)
    newer = lake.land(30, hours=5)
    lake.settle_and_seal()
    sizes = [path.stat().st_size for path in lake.files()]
    lake.sealer = lake.make_sealer(retention_max_bytes=lake.database_bytes() + sum(sizes) - 1)
    lake.sealer.run_once()
    assert lake.ids() == sorted(newer)


def test_retention_of_compacted_hours(lake: Any) -> None:
    """An hour that was rewritten leaves by age as one, and nothing of its files is left."""
    lake.land(3)
    lake.settle_and_seal()
    lake.land(2)
    lake.pass_time(3601)
    lake.pass_time(3601)
    assert len(lake.listed()) == 1
    lake.sealer = lake.make_sealer(retention_s=3600)
    lake.sealer.run_once()
    assert (lake.ids(), lake.listed()) == ([], [])
    lake.now_ns += (EXPIRED_KEEP_S + 1) * 1_000_000_000
    lake.sealer.run_once()
    assert lake.files() == []


def test_size_counts_rows_once(lake: Any) -> None:
    """Files whose rows stand in a compacted one wait for their end, and do not count towards the size."""
    ids = lake.land(200)
    lake.settle_and_seal()
    ids += lake.land(200)
    lake.pass_time(3601)
    lake.pass_time(3601)
    assert len(lake.listed()) == 1
    assert len(lake.files()) > 1
    size_bytes = (lake.store.lake / lake.listed()[0]).stat().st_size
    lake.sealer = lake.make_sealer(retention_max_bytes=lake.database_bytes() + size_bytes)
    lake.sealer.run_once()
    assert lake.ids() == sorted(ids)


def test_each_collector_deletes_its_own(tmp_path: Path, make_lake: Callable[[Store], Any]) -> None:
    """Retention by age or size of one collector leaves the files of another in the same lake."""
    shared = tmp_path / "shared"
    one = make_lake(Store.open(tmp_path / "one", lake=shared))
    two = make_lake(Store.open(tmp_path / "two", lake=shared))
    one.land(3)
    kept = two.land(3)
    one.settle_and_seal()
    two.settle_and_seal()
    for change in ({"retention_s": 3600}, {"retention_max_bytes": 1}):
        one.sealer = one.make_sealer(**change)
        one.pass_time(EXPIRED_KEEP_S + 1)
        one.land(2)
    assert one.listed() == []
    assert two.ids() == sorted(kept)
    assert [path.name for path in one.files()] == [Path(path).name for path in two.listed()]
