"""Hours of few rows that share files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from collector.lake.moving import Hours
from collector.lake.parquet import SEVERAL
from collector.lake.retention import EXPIRED_KEEP_S
from collector.lake.thin import THIN_HOURS_MIN, THIN_ROWS, share, span_max

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1)  # noqa: DTZ001  # as DuckDB's times come
QUIET_S = 3601


def hours(*row_counts: int, apart: timedelta = HOUR) -> list[Hours]:
    starts = [START + number * apart for number in range(len(row_counts))]
    return [
        Hours(s, s + HOUR, count, number)
        for number, (s, count) in enumerate(zip(starts, row_counts, strict=True))
    ]


def test_thin_hours_in_a_row_share() -> None:
    """Eight thin hours and more become one part; fewer, and hours worth a file, stay as they are."""
    assert share(hours(*[5] * 100), timedelta.max) == [Hours(START, START + 100 * HOUR, 500, 99)]
    few = hours(*[5] * (THIN_HOURS_MIN - 1))
    assert share(few, timedelta.max) == few
    mixed = hours(*[5] * 8, THIN_ROWS, *[5] * 8)
    assert [part.row_count for part in share(mixed, timedelta.max)] == [40, THIN_ROWS, 40]
    assert share(hours(*[THIN_ROWS] * 9), timedelta.max) == hours(*[THIN_ROWS] * 9)


def test_shared_files_are_worth_one() -> None:
    """A part ends when it has enough rows, and, where rows leave by age, after a tenth of that age."""
    parts = share(hours(*[THIN_ROWS // 10] * 40), timedelta.max)
    assert [part.row_count for part in parts] == [THIN_ROWS] * 4
    parts = share(hours(*[1] * 100), span_max(retention_s=30 * 86_400))
    assert [part.end - part.start for part in parts] == [timedelta(days=3), timedelta(hours=28)]


def test_two_thousand_old_hours(lake: Any) -> None:
    """Spans of 300 old hours become one file, outside every hour's folder; each is found by its time, and so
    is what comes later for one of these hours."""
    ids = [one for hour in range(300) for one in lake.land(1, hours=-7 * hour)]
    lake.settle_and_seal()
    (listed,) = lake.listed()
    assert listed.startswith(f"traces/date={SEVERAL}/hour={SEVERAL}/")
    assert lake.ids("spans_recent") == []
    assert lake.ids() == sorted(ids)
    found = lake.ids("(FROM spans WHERE start_time BETWEEN '2026-08-01' AND '2026-08-02')")
    assert found == lake.ids("(FROM spans WHERE date_trunc('day', start_time) = '2026-08-01')")
    assert 0 < len(found) < 5
    ids += lake.land(1, hours=-70)
    lake.settle_and_seal()
    assert lake.ids() == sorted(ids)
    (bounds,) = lake.store.read(
        "SELECT count(*) AS n FROM lake_files WHERE first_time = (SELECT min(start_time) FROM spans)"
        " AND last_time = (SELECT max(start_time) FROM spans)"
    ).to_pylist()
    assert bounds == {"n": 1}


def test_thin_hours_of_one_day(lake: Any) -> None:
    """Where a shared file is of one day, it stands under that day."""
    for hour in range(THIN_HOURS_MIN):
        lake.land(1, hours=hour)
    lake.settle_and_seal()
    (listed,) = lake.listed()
    assert listed.startswith(f"traces/date=2026-09-21/hour={SEVERAL}/")


def test_thin_files_become_one(lake: Any) -> None:
    """Thin hours that were sealed one by one share a file once they are quiet; no row is doubled or missed,
    and other engines find each once among the listed files."""
    ids = []
    for hour in range(THIN_HOURS_MIN):
        ids += lake.land(2, hours=hour)
        lake.settle_and_seal()
    assert len(lake.listed()) == THIN_HOURS_MIN
    lake.pass_time(QUIET_S)
    (path,) = lake.listed()
    assert lake.ids() == sorted(ids)
    listing = lake.store.lake / "_files" / "*.parquet"
    assert lake.store.read(f"SELECT path, row_count FROM '{listing}'").to_pylist() == [
        {"path": path, "row_count": len(ids)}
    ]
    lake.pass_time(EXPIRED_KEEP_S + 1)
    lake.sealer.run_once()
    assert len(lake.files()) == 1
    lake.reopen()
    assert lake.ids() == sorted(ids)


@pytest.mark.parametrize("by", ["age", "size"])
def test_shared_file_expires(lake: Any, by: str) -> None:
    """A shared file leaves when its newest row is too old, or as the oldest when there is too much."""
    for hour in range(THIN_HOURS_MIN):
        lake.land(1, hours=hour)
    lake.settle_and_seal()
    kept = lake.land(400, hours=60)
    lake.settle_and_seal()
    sizes = [path.stat().st_size for path in lake.files()]
    max_bytes = lake.database_bytes() + sum(sizes) - 1
    change = {"retention_s": 60 * 3600} if by == "age" else {"retention_max_bytes": max_bytes}
    lake.sealer = lake.make_sealer(**change)
    lake.sealer.run_once()
    assert lake.ids() == sorted(kept)
