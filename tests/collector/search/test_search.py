"""How a search looks: in steps, with limits, and with anomalies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from collector.errors import Timeout
from collector.search import search as module
from collector.search.parser import parse
from collector.search.search import Limits, search
from collector.search.times import Range, parse_time
from collector.search.windows import WINDOWS_MAX, slices, windows
from collector.sql.query import QueryRunner

START_NS = 1_790_000_000_000_000_000
SPAN = Range(START_NS, START_NS + 10**12)


@pytest.fixture(scope="module")
def queries(shop: Any) -> Iterator[QueryRunner]:
    with QueryRunner(shop.store) as runner:
        yield runner


def names(result: Any) -> list[int]:
    return [int(trace.trace_id, 16) for trace in result.traces]


def test_limit(queries: QueryRunner) -> None:
    """The newest traces come first, and more of them are announced."""
    result = search(queries, parse("{}"), SPAN, Limits(2, 1))
    assert names(result) == [4, 3]
    assert result.truncated
    assert [len(trace.spans) for trace in result.traces] == [1, 1]
    assert not search(queries, parse("{}"), SPAN, Limits(4)).truncated


def test_range(queries: QueryRunner) -> None:
    """Spans that match begin within the range; the rest of their trace need not."""
    middle = Range(START_NS + 1_002_000_000, START_NS + 1_003_000_000)
    (trace,) = search(queries, parse("{ kind = server }"), middle, Limits()).traces
    assert (trace.trace_id[-1], trace.span_count) == ("1", 4)


def test_steps(queries: QueryRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that the newest spans do not satisfy looks further back, to a bound that the answer names."""
    monkeypatch.setattr(module, "_STEPS", (1, 4, 100))
    asked = parse("{ duration > 1us } | { status = error }")
    assert names(search(queries, asked, SPAN, Limits())) == [1]
    monkeypatch.setattr(module, "_STEPS", (1, 2))
    monkeypatch.setattr(module, "LOOKED_AT_MAX", 2)
    result = search(queries, asked, SPAN, Limits())
    assert names(result) == []
    assert result.truncated
    assert "only the newest 2 spans" in result.reason


def test_rare_traces_are_judged_together(queries: QueryRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates of several looks are read at once: each read takes all columns where they lie."""
    asked: list[str] = []
    run = QueryRunner.run_own

    def note(self: QueryRunner, sql: str, *arguments: Any, **named: Any) -> Any:
        asked.append(sql.partition("\n")[0])
        return run(self, sql, *arguments, **named)

    monkeypatch.setattr(QueryRunner, "run_own", note)
    monkeypatch.setattr(module, "_STEPS", (1, 2, 3, 100))
    assert names(search(queries, parse("{}"), SPAN, Limits())) == [4, 3, 2, 1]
    assert len([sql for sql in asked if sql.startswith("-- The traces of")]) > 3
    assert len([sql for sql in asked if sql.startswith("-- All spans of")]) == 1


@pytest.mark.parametrize(
    ("asked", "is_filtered"),
    [
        ('{ span.user = "ann" }', True),
        ("{ .http.status_code = 500 && duration > 1ms }", True),
        ("{ parent.http.status_code = 500 }", False),  # needs the trace
        ('{ .a = "1" } && { .b = "1" } && { .c = "1" }', False),  # each would be a scan
    ],
)
def test_attributes_are_judged_by_a_filter(
    queries: QueryRunner, monkeypatch: pytest.MonkeyPatch, asked: str, is_filtered: bool
) -> None:
    """What a search asks of one or two attributes is a condition of a scan, which reads only those; shown as
    values, all attributes of whole row groups would be read.
    """
    statements: list[str] = []
    run = QueryRunner.run_own

    def note(self: QueryRunner, sql: str, *arguments: Any, **named: Any) -> Any:
        statements.append(sql)
        return run(self, sql, *arguments, **named)

    monkeypatch.setattr(QueryRunner, "run_own", note)
    monkeypatch.setattr(module.FirstLook, "of", lambda *_: "true")  # so that all traces are judged
    search(queries, parse(asked), SPAN, Limits())
    (judged,) = [sql for sql in statements if sql.startswith("-- All spans of")]
    shown = judged[judged.index("base AS") : judged.index("ids AS")]
    assert ("attributes[" in shown) is not is_filtered


def test_what_was_found_is_judged_before_time_runs_out(
    queries: QueryRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search whose looks are slow judges what it has after each, so it ends with some traces."""
    now_s = 0.0
    run = QueryRunner.run_own

    def slow_look(self: QueryRunner, sql: str, *arguments: Any, **named: Any) -> Any:
        nonlocal now_s
        found = run(self, sql, *arguments, **named)
        if sql.startswith("-- The traces of") and found.table.num_rows:
            now_s += 12
        return found

    monkeypatch.setattr(QueryRunner, "run_own", slow_look)
    monkeypatch.setattr(module, "_STEPS", (1, 2, 3, 100))
    result = search(queries, parse("{}"), SPAN, Limits(timeout_s=30), clock_s=lambda: now_s)
    assert names(result)[0] == 4
    assert result.reason == "stopped after 30 s"


def test_time(queries: QueryRunner) -> None:
    """A search that runs out of time gives what it has found, or says that it found nothing in time."""
    ticks = iter([0.0, 0.0, 99.0])
    with pytest.raises(Timeout):
        search(queries, parse("{}"), SPAN, Limits(timeout_s=30), clock_s=lambda: next(ticks, 99.0))


def test_mixed_types(queries: QueryRunner) -> None:
    """A number is looked for where some spans have a text of that name, which is none."""
    assert names(search(queries, parse("{ span.user > 3 || .http.status_code = 500 }"), SPAN, Limits())) == [
        1
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ anomaly >= SEV3 }", [1]),
        ("{ anomaly < SEV3 }", [2]),
        ("{ anomaly = SEV2 }", [1]),
        ("{ anomaly != SEV2 }", [2]),
        ("{ anomaly != nil }", [2, 1]),
        ("{ anomaly = nil && name = `charge` }", []),
        ("{ anomaly = nil && name = `pay` }", [2, 1]),
    ],
)
def test_anomalies(queries: QueryRunner, ask: Callable[..., Any], query: str, expected: list[int]) -> None:
    """The worst anomaly of a span can be asked for, and is shown with its trace."""
    assert names(search(queries, parse(query), SPAN, Limits())) == expected
    shown = {int(trace["trace_id"], 16): trace["severity"] for trace in ask("{}").json()["traces"]}
    assert shown == {1: "SEV2", 2: "SEV4", 3: None, 4: None}


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1790000000", START_NS),
        ("1790000000.5", START_NS + 500_000_000),
        ("1790000000001", START_NS + 1_000_000),
        ("1790000000000001", START_NS + 1_000),
        ("1790000000000000001", START_NS + 1),
        ("2026-09-21T14:13:20Z", START_NS),
        ("2026-09-21T16:13:20+02:00", START_NS),
        ("2026-09-21T14:13:20", START_NS),
        ("now", 7_200 * 10**9),
        ("1h", 3_600 * 10**9),
    ],
)
def test_times(text: str, expected_ns: int) -> None:
    """Times are read as numbers since 1970 in any unit, as ISO 8601, and back from now."""
    assert parse_time(text, "start", 7_200 * 10**9) == expected_ns


def test_slices_and_windows() -> None:
    """Slices cover a range once, the newest first; windows cover all extents and are few."""
    pieces = list(slices(Range(100, 100_000), 60_000))
    assert pieces[0].until_ns == 100_000
    assert pieces[-1].from_ns == 100
    assert [piece.from_ns for piece in pieces[:-1]] == [piece.until_ns for piece in pieces[1:]]
    assert list(slices(Range(5, 6), 0)) == [Range(5, 6)]
    extents = [(n * 100, n * 100 + (n % 7)) for n in range(100)]
    found = windows(extents)
    assert len(found) == WINDOWS_MAX
    assert all(any(a <= first and last <= b for a, b in found) for first, last in extents)
    assert windows([(1, 5), (2, 3), (4, 9), (20, 21)]) == [(1, 9), (20, 21)]
