"""Searches and look-ups of rows that have moved to Parquet."""

from __future__ import annotations

from typing import Any

from collector.lookups.spans import load_traces
from collector.search.parser import parse
from collector.search.search import Limits, search
from collector.search.times import LAST_NS, Range
from collector.sql.query import QueryRunner

ALL = Range(0, LAST_NS)


def test_sealed_rows(lake: Any) -> None:
    """A search finds sealed spans like recent ones, and a sealed trace comes back with every value."""
    lake.land(2)
    lake.land(1, hours=99)
    with QueryRunner(lake.store) as queries:
        asked = "{ .yes && event:name = `e` && .list != nil } | count() > 0"

        def found() -> list[tuple[str, int]]:
            traces = search(queries, parse(asked), ALL, Limits()).traces
            return [(trace.trace_id, trace.matched_count) for trace in traces]

        def loaded() -> list[bytes]:
            ids = [trace_id for trace_id, _ in found()]
            by_id = load_traces(queries, ids).by_id
            return [by_id[i].SerializeToString() for i in ids]

        recent = found(), loaded()
        assert [count for _, count in recent[0]] == [1, 2]
        assert lake.settle_and_seal() == 2
        assert (found(), loaded()) == recent
