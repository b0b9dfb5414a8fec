from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from collector.errors import InvalidInput
from collector.sql.query import QueryRunner
from collector.store.store import Store

QUERIES = """
import sys
from pathlib import Path
from collector.sql.query import QueryRunner
from collector.sql.render import json_table
from collector.store.store import Store

store = Store.open(Path(sys.argv[1]))
with QueryRunner(store) as queries:
    for query in sys.argv[2:]:
        result = queries.run(query, limit_rows=10, as_text=True)
        print(result.table.to_pydict())
store.close()
import os; sys.stdout.flush(); os._exit(0)
"""
ABSOLUTE = [
    "SELECT epoch_ms(now()) - (extract(epoch FROM current_localtimestamp()) * 1000)::BIGINT < 1000 AS same",
    "SELECT make_timestamp_ns(1790000000000000000) AS t, current_date = now()::DATE AS today",
    "SELECT count(*) AS n FROM spans_recent WHERE start_time > now() - INTERVAL 1 HOUR",
]


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryRunner]:
    store = Store.open(tmp_path_factory.mktemp("times") / "data")
    with QueryRunner(store) as runner:
        yield runner
    store.close()


@pytest.mark.parametrize(
    "condition",
    [
        "start_time > now() - INTERVAL 1 HOUR",
        "start_time > CURRENT_TIMESTAMP - INTERVAL '1 hour'",
        "start_time > ago('1 hour')",
        "start_time BETWEEN '2026-01-01' AND now()",
        "start_time >= current_date",
        "start_time > localtimestamp",
        "date_diff('minute', start_time, now()) < 5",
        "now() - start_time < INTERVAL 5 MINUTE",
    ],
)
def test_stored_times_and_now(queries: QueryRunner, condition: str) -> None:
    """The usual condition for the last hour compares stored times with now."""
    for view in ("spans", "all_spans", "traces"):
        result = queries.run(f"SELECT count(*) FROM {view} WHERE {condition}", limit_rows=1)
        assert result.table.num_rows == 1


def test_now_is_utc(queries: QueryRunner) -> None:
    """`now()` is the wall clock of UTC, and its text ends in Z."""
    ((now,),) = zip(*queries.run("SELECT now() AS t", limit_rows=1, as_text=True).table.to_pydict().values())  # noqa: B905
    stored = queries.run(
        "SELECT abs(epoch(now()) - epoch(?::TIMESTAMP)) < 60 AS ok", [now[:-1]], limit_rows=1
    )
    assert now.endswith("Z")
    assert stored.table["ok"].to_pylist() == [True]


def test_a_time_with_a_zone_is_explained(queries: QueryRunner) -> None:
    """Comparing with a time that has a zone is refused with the words that make it work."""
    with pytest.raises(InvalidInput, match="AT TIME ZONE 'UTC'"):
        queries.run("FROM spans WHERE start_time > TIMESTAMPTZ '2026-01-01 00:00+02'", limit_rows=1)
    fixed = "FROM spans WHERE start_time > TIMESTAMPTZ '2026-01-01 00:00+02' AT TIME ZONE 'UTC'"
    assert queries.run(fixed, limit_rows=1).table.num_rows == 0


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_the_zone_of_the_machine_changes_nothing(tmp_path: object, zone: str) -> None:
    """A server in Tokyo and one at a half-hour zone answer as one in UTC does."""
    answers = [
        subprocess.run(
            [sys.executable, "-c", QUERIES, f"{tmp_path}/{name.replace('/', '-')}", *ABSOLUTE],
            env={**os.environ, "TZ": name},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for name in ("UTC", zone)
    ]
    assert answers[0] == answers[1]
    assert "{'same': [True]}" in answers[0]


@pytest.mark.parametrize(
    "condition",
    [
        "start_time > '2026-11-29T03:00:00+09:00'",
        "start_time BETWEEN '2026-11-29' AND '2026-11-29 03:00:00.5 -0530'",
        "start_time IN ('2026-11-29T03:00+02')",
        "start_time > TIMESTAMP '2026-11-29 03:00:00 Europe/Berlin'",
        "start_time > '2026-11-29 03:00:00 America/New_York'::TIMESTAMP_NS",
        "start_time > CAST('2026-11-29 03:00:00 EST' AS TIMESTAMP)",
    ],
)
def test_a_zone_is_never_left_out(queries: QueryRunner, condition: str) -> None:
    """A time whose zone DuckDB would leave out is refused with what to write instead."""
    for query in (f"FROM spans WHERE {condition}", f"EXPLAIN ANALYZE SELECT * FROM spans WHERE {condition}"):
        with pytest.raises(InvalidInput, match=r"zone of '2026-11-29.*AT TIME ZONE 'UTC'"):
            queries.run(query, limit_rows=1)


@pytest.mark.parametrize(
    "condition",
    [
        "start_time > '2026-11-29T03:00:00Z'",
        "start_time > '2026-11-29T03:00:00+00:00'",
        "start_time > '2026-11-29 03:00:00 UTC'",
        "start_time > TIMESTAMPTZ '2026-11-29 03:00:00+09:00' AT TIME ZONE 'UTC'",
        "span_name = '2026-11-29T03:00:00+09:00'",
        "attributes['at']::VARCHAR = '2026-11-29T03:00:00+09:00'",
    ],
)
def test_utc_and_texts_are_no_zone(queries: QueryRunner, condition: str) -> None:
    """UTC may be named, a time with a zone be moved into it, and a text hold anything."""
    queries.run(f"FROM spans WHERE {condition}", limit_rows=1)


def test_zones_of_parameters(queries: QueryRunner) -> None:
    """A parameter that becomes a time may not name a zone, one that is compared as text may."""
    zoned = "2026-11-29T03:00:00+09:00"
    for condition in ("start_time > $at", "start_time BETWEEN '2026-11-01' AND $at::TIMESTAMP"):
        with pytest.raises(InvalidInput, match=r"zone of '2026-11-29T03:00:00\+09:00'"):
            queries.run(f"FROM spans WHERE {condition}", {"at": zoned}, limit_rows=1)
    queries.run("FROM spans WHERE start_time > ?", ["2026-11-29T03:00:00Z"], limit_rows=1)
    queries.run("FROM spans WHERE span_name = ?", [zoned], limit_rows=1)


@pytest.mark.parametrize(
    "shifted",
    [
        "start_time AT TIME ZONE 'Asia/Tokyo'",
        "timezone('Asia/Tokyo', start_time)",
        "date_trunc('hour', start_time) AT TIME ZONE 'Asia/Tokyo'",
        "start_time::TIMESTAMP AT TIME ZONE 'Asia/Tokyo'",
        "now() AT TIME ZONE 'Asia/Tokyo'",
        "CURRENT_TIMESTAMP AT TIME ZONE 'Asia/Tokyo'",
    ],
)
def test_utc_is_not_taken_for_another_zone(queries: QueryRunner, shifted: str) -> None:
    """A stored time, and now, are shown in a zone by way of UTC; the short way, hours off, is refused."""
    with pytest.raises(InvalidInput, match="AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo'"):
        queries.run(f"SELECT {shifted} FROM spans", limit_rows=1)


@pytest.mark.parametrize(
    "shifted",
    [
        "start_time AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo'",
        "now() AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo'",
        "start_time AT TIME ZONE 'UTC'",
        "TIMESTAMP '2026-11-29 09:00' AT TIME ZONE 'Asia/Tokyo' AT TIME ZONE 'UTC'",
        "attributes['local']::TIMESTAMP AT TIME ZONE 'Asia/Tokyo'",
    ],
)
def test_times_of_a_zone_are_converted(queries: QueryRunner, shifted: str) -> None:
    """What has a zone, or is said to be of one, is converted."""
    queries.run(f"SELECT {shifted} FROM spans", limit_rows=1)
