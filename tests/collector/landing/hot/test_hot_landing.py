"""Spans that land as files: the same rows as in the table, whatever their attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.store import hot
from tests.collector.landing.hot.line import Line


def test_tiers_are_alike(line: Line, make_lines: Callable[[], Line]) -> None:
    """A span reads the same from the table, from a hot file and from the lake: nanoseconds, every type of
    attribute, events and links."""
    slow = make_lines()
    slow.land(slow.request(6), fast=False)
    line.land(line.request(6))
    in_table, in_file = slow.shown(), line.shown()
    assert line.detected() == slow.detected()
    assert (slow.places(), line.places()) == ({"table": 6}, {"hot": 6})
    assert in_file == in_table
    assert line.sealer.run_once() == 6
    assert line.places() == {"lake": 6}
    assert line.shown() == in_table


def test_visible_once(line: Line) -> None:
    """Slow and fast traffic in turn, rows of another hour among it: each span is visible once, before and
    after sealing and after a start."""
    line.land(line.request(4, first=1), fast=False)
    line.land(line.request(5, first=11), line.request(1, first=91, hours=-1))
    line.land(line.request(3, first=21), line.request(2, first=31, hours=1))
    line.land(line.request(2, first=41), fast=False)
    assert line.places() == {"table": 7, "hot": 10}
    line.reopen()
    assert line.places() == {"table": 7, "hot": 10}
    assert line.sealer.run_once() == 17
    assert line.places() == {"lake": 17}
    line.now_ns += 1_000_000_000_000
    line.sealer.run_once()
    assert list((line.store.folder / "hot" / "spans").iterdir()) == []
    assert line.value("SELECT count(DISTINCT span_id) FROM spans") == 17


@pytest.mark.parametrize("fill", [0, 127])
def test_many_keys(line: Line, fill: int) -> None:
    """However many keys there are, a file has 128 columns of them at most, and every attribute is there."""
    common = {f"usual.{number}": number for number in range(fill)}
    requests = [line.request(1, first=n, **common, **{f"own.{n}": "x"}) for n in range(1, 301)]
    line.land(*requests, *(line.request(4, first=1000 + 10 * n, usual="y") for n in range(80)))
    places = line.places()
    assert places["hot"] >= 320
    assert sum(places.values()) == 620
    assert line.value("SELECT count(*) FROM spans WHERE attributes['own.7']::VARCHAR = 'x'") == 1
    assert line.value("SELECT count(*) FROM spans WHERE attributes::JSON::VARCHAR LIKE '%own.%'") == 300
    assert line.value("SELECT count(*) FROM spans WHERE attributes['usual']::VARCHAR = 'y'") == 320
    line.sealer.run_once()
    assert line.places() == {"lake": 620}
    assert line.value("SELECT count(*) FROM spans WHERE attributes::JSON::VARCHAR LIKE '%own.%'") == 300


def test_types_that_change(line: Line) -> None:
    """A key with values of several types keeps each, within a file and over merged files."""
    values: list[Any] = ["a", 1, 2.5, True, b"b", ["c"], None]
    for number, value in enumerate(values):
        line.land(
            line.request(3, first=1 + 10 * number, k=value), line.request(2, first=5 + 10 * number, k="z")
        )
    line.land(*(line.request(2, first=500 + 10 * n, k=value) for n, value in enumerate(values)))
    before = line.shown()
    kinds = "SELECT list_sort(list(DISTINCT variant_typeof(attributes['k']))) FROM spans"
    found = line.value(kinds)
    assert line.places() == {"hot": 49}
    assert line.sealer.run_once() == 49
    assert line.shown() == before
    assert line.value(kinds) == found
    assert len(found) == 7 + (None not in values)


def test_map_values(line: Line) -> None:
    """A map in an attribute takes the table's way, and is whole."""
    line.land(line.request(2, deep={"a": {"b": [1, {"c": "d"}]}}), line.request(2, first=11, k="v"))
    assert line.places() == {"table": 2, "hot": 2}
    assert (
        line.value("SELECT count(*) FROM spans WHERE attributes['deep']['a']['b'][2]['c']::VARCHAR = 'd'")
        == 2
    )


def test_conditions_reach_the_columns(line: Line) -> None:
    """A condition on an attribute is evaluated by its column in a hot file and in the merged one."""
    line.land(line.request(20, **{"http.route": "/a", "amount": 2.5}))
    for _ in range(2):
        query = "SELECT count(*) FROM spans WHERE attributes['http.route']::VARCHAR = '/b'"
        assert line.reaches("attributes.http.route", query)
        assert line.value(query) == 0
        line.sealer.run_once()
    assert line.places() == {"lake": 20}


def test_empty_lists_are_not_cast(line: Line) -> None:
    """Events and links of a file are cast from VARIANT only where a span has some."""
    line.land(line.request(4))
    for place in ("hot", "lake"):
        assert line.places() == {place: 4}
        view = line.value("SELECT sql FROM duckdb_views() WHERE view_name = 'spans'")
        for name in ("events", "links"):
            assert f"CASE WHEN ((variant_typeof({name}) = 'ARRAY(0)')) THEN" in " ".join(view.split())
        found = line.store.read(
            "SELECT len(events) AS e, len(links) AS l FROM spans ORDER BY span_id"
        ).to_pylist()
        assert found == [{"e": 1, "l": 1}, {"e": 0, "l": 0}] * 2
        line.sealer.run_once()


def test_newest_rows_cost_little(line: Line) -> None:
    """The newest rows are looked for in the newest file first, and by its plain column of times."""
    line.land(line.request(4, first=1))
    line.land(line.request(4, first=11))
    text = line.value("SELECT sql FROM duckdb_views() WHERE view_name = 'spans'")
    newest, oldest = line.store.read("SELECT path FROM hot_files ORDER BY first_batch_id DESC")[
        "path"
    ].to_pylist()
    assert text.index(newest) < text.index(oldest)
    plan = (
        line.store.read("EXPLAIN SELECT * FROM spans ORDER BY start_time DESC LIMIT 2").columns[1][0].as_py()
    )
    assert "Dynamic Filter (start_time)" in " ".join(plan.replace("│", " ").split())


def test_many_hours_land_like_slow_spans(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of many hours with few in each go to the table, in typed columns, and no file is written."""
    monkeypatch.setattr(hot, "LATE_ROWS_MAX", 4)
    monkeypatch.setattr(hot, "HOUR_ROWS_MIN", 3)
    line.land(*(line.request(2, first=1 + 10 * hour, hours=-hour) for hour in range(4)))
    assert line.places() == {"table": 8}
    assert line.value("SELECT count(*) FROM spans_recent") == 8
    assert list((line.store.folder / "hot" / "spans").glob("*")) == []
