"""Search for traces: a first look for candidates, newest first, and an exact judgement of each.

Both are read-only statements within the bounds of `QueryRunner`. A search for what is rare looks further back
in steps; it ends with the range, the time allowed, or after `LOOKED_AT_MAX` spans, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import duckdb

from collector.errors import InvalidInput, Timeout
from collector.search.evaluate import Evaluation, Judged
from collector.search.first_look import FirstLook
from collector.search.results import FoundTrace, found_traces
from collector.search.sets import check_groups
from collector.search.syntax import (
    Binary,
    Expression,
    Filter,
    Literal,
    Operation,
    Pipeline,
    Query,
    Stage,
    Unary,
)
from collector.search.times import HOUR_NS, LAST_NS, Range
from collector.search.tokens import fail
from collector.search.values import Params
from collector.search.windows import slices, windows
from collector.sql.fetch import Fetched
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

_QUERIES = "collector.search.queries"
LIMIT_DEFAULT, LIMIT_MAX = 20, 1_000
SPANS_DEFAULT, SPANS_MAX = 3, 1_000  # matching spans that are shown of each trace
SHOWN_MAX = 50_000  # … of all traces together: 15 MB of JSON
# Newest spans that a first look takes. Each further step reads the columns again.
_STEPS = (2_000, 32_000, 500_000)
LOOKED_AT_MAX = _STEPS[-1]
# Spans of a trace that lie further than this from those that a first look found are not seen.
MARGIN_NS = HOUR_NS
_ROWS_MAX = 500_000  # spans that are judged at once
_CHUNK_FACTOR, _CHUNK_MAX = 8, 5_000


class Limits(NamedTuple):
    traces: int = LIMIT_DEFAULT
    spans: int = SPANS_DEFAULT
    timeout_s: float = 30.0


@dataclass(slots=True)
class Result:
    """What was found, newest first."""

    traces: list[FoundTrace] = field(default_factory=list)
    truncated: bool = False  # there are, or may be, more
    reason: str = ""  # why, when not because there are more than asked for
    looked_at_spans: int = 0
    elapsed_ms: float = 0.0


def search(
    queries: QueryRunner,
    query: Query,
    span: Range,
    limits: Limits,
    *,
    now_ns: int | None = None,
    clock_s: Callable[[], float] = monotonic,
) -> Result:
    """
    Args:
        now_ns: the newest time at which spans are expected; the end of the range without.

    Raises:
        InvalidInput: the search cannot be run, e.g. for a regular expression that is none.
        Timeout: not even the first step ended in time.
        TooLarge, Unavailable: as `QueryRunner.run_own`.
    """
    if query.metric is not None:
        fail(
            query.text,
            query.metric.position,
            "this asks for figures over time",
            "leave it away to find traces",
        )
    check_groups(query.pipeline)
    check_regexes(queries, query)
    now_ns = span.until_ns if now_ns is None else now_ns
    return _Search(queries, query, span, limits, now_ns, clock_s).run()


class _Search:
    def __init__(  # noqa: PLR0917  # made in one place
        self,
        queries: QueryRunner,
        query: Query,
        span: Range,
        limits: Limits,
        now_ns: int,
        clock_s: Callable[[], float],
    ) -> None:
        self._queries, self._query, self._range, self._limits = queries, query, span, limits
        self._evaluation = Evaluation(query.pipeline)
        self._now_ns, self._clock_s = now_ns, clock_s
        self._started_s = clock_s()
        self._is_careful = False
        self._seen: set[str] = set()
        self._result = Result()

    def run(self) -> Result:
        result = self._result
        try:
            self._look()
        except Timeout:
            if not result.looked_at_spans and not result.traces:
                raise
            result.truncated, result.reason = True, f"stopped after {self._limits.timeout_s:g} s"
        result.traces.sort(key=lambda trace: (-trace.start_ns, trace.trace_id))
        result.elapsed_ms = round((self._clock_s() - self._started_s) * 1000, 3)
        return result

    def _look(self) -> None:
        pending: list[tuple[str, int, int]] = []
        for piece in slices(self._range, self._now_ns):
            for most in _STEPS:
                candidates, span_count = self._candidates(piece, most)
                is_all = span_count < most
                pending += [row for row in candidates if row[0] not in self._seen]
                self._seen.update(row[0] for row in candidates)
                is_last = is_all and piece.from_ns == self._range.from_ns
                if is_last or most == LOOKED_AT_MAX or self._is_due(len(pending)):
                    if self._judge_all(pending, is_last):
                        return
                    pending = []
                if is_all:
                    break
                if most == LOOKED_AT_MAX:
                    self._result.truncated = True
                    self._result.reason = f"only the newest {most:,} spans that may match were looked at"
                    return
            self._result.looked_at_spans += span_count

    def _is_due(self, pending_count: int) -> bool:
        """Whether candidates are judged before a further look: there may be enough, or time runs short.

        Judging reads all columns where they lie, 40 to 170 ms of CPU a time for 10 M spans.
        """
        missing = self._limits.traces - len(self._result.traces)
        return pending_count >= missing or self._clock_s() - self._started_s > self._limits.timeout_s / 4

    def _judge_all(self, candidates: list[tuple[str, int, int]], is_last: bool) -> bool:
        """Whether enough was found."""
        result, start, size = self._result, 0, self._limits.traces
        while start < len(candidates):
            piece = candidates[start : start + size]
            start += len(piece)
            result.traces += self._judge(piece)
            if len(result.traces) >= self._limits.traces:
                has_more = start < len(candidates) or not is_last or len(result.traces) > self._limits.traces
                result.truncated = has_more
                del result.traces[self._limits.traces :]
                return True
            size = min(_CHUNK_MAX, size * _CHUNK_FACTOR)
        return False

    def _candidates(self, piece: Range, most: int) -> tuple[list[tuple[str, int, int]], int]:
        """Traces with the newest and oldest of the spans that were found, and how many spans were."""
        try:
            table = self._first_look(piece, most).table
        except InvalidInput as error:
            if self._is_careful or not isinstance(error.__cause__, duckdb.ConversionException):
                raise
            self._is_careful = True
            table = self._first_look(piece, most).table
        columns = (table[name].to_pylist() for name in ("trace_id", "newest_ns", "oldest_ns"))
        return list(zip(*columns, strict=True)), sum(table["span_count"].to_pylist())

    def _first_look(self, piece: Range, most: int) -> Fetched:
        params = Params(
            {
                "from_ns": piece.from_ns,
                "until_ns": piece.until_ns,
                "most": most,
                "around_from_ns": max(0, piece.from_ns - MARGIN_NS),
                "around_until_ns": min(LAST_NS, piece.until_ns + MARGIN_NS),
            }
        )
        condition = FirstLook(params, careful=self._is_careful).of(self._query.pipeline)
        sql = load_sql(_QUERIES, "first_look").format(condition=condition)
        return self._run(sql, params.used_in(sql), most)

    def _judge(self, candidates: list[tuple[str, int, int]]) -> list[FoundTrace]:
        ids = [row[0] for row in candidates]
        around = {
            "trace_ids": ids,
            "from_ns": max(0, min(row[2] for row in candidates) - MARGIN_NS),
            "until_ns": min(LAST_NS, max(row[1] for row in candidates) + MARGIN_NS),
        }
        extents = self._run(load_sql(_QUERIES, "extents"), around, len(ids)).table
        found = windows(zip(*(extents[name].to_pylist() for name in ("first_ns", "last_ns")), strict=True))
        fetched = self._run(*self._evaluation.statement(ids, found), _ROWS_MAX)
        if fetched.is_cut and len(candidates) > 1:
            half = len(candidates) // 2
            return [*self._judge(candidates[:half]), *self._judge(candidates[half:])]
        if fetched.is_cut:
            self._result.truncated = True
            self._result.reason = f"trace {ids[0]} has more than {_ROWS_MAX:,} spans; these were looked at"
        return list(self._found(self._evaluation.judge(fetched.table), ids))

    def _found(self, judged: Judged, ids: list[str]) -> Iterator[FoundTrace]:
        """In the order of `ids`."""
        found = {
            trace.trace_id: trace
            for trace in found_traces(judged, self._evaluation.shown, self._limits.spans)
        }
        return (found[trace_id] for trace_id in ids if trace_id in found)

    def _run(self, sql: str, params: dict[str, Any], limit_rows: int) -> Fetched:
        left_s = self._limits.timeout_s - (self._clock_s() - self._started_s)
        if left_s <= 0:
            raise Timeout(f"the search took longer than {self._limits.timeout_s:g} s", hint="ask for less")
        return self._queries.run_own(sql, params, limit_rows=limit_rows, timeout_s=left_s)


def check_regexes(queries: QueryRunner, query: Query) -> None:
    """Raises InvalidInput, with the place, for a regular expression that DuckDB (RE2) does not take."""
    for pattern in _regexes(query.pipeline):
        try:
            queries.run_own("SELECT regexp_full_match('', $p)", {"p": pattern.value}, limit_rows=1)
        except InvalidInput as error:
            problem = error.message.removeprefix("Invalid Input Error: ")
            fail(query.text, pattern.position, f"no regular expression ({problem})", "the syntax is RE2's")


def _regexes(part: Stage | Expression) -> Iterator[Literal]:
    match part:
        case Pipeline():
            for stage in part.stages:
                yield from _regexes(stage)
        case Operation() | Binary():
            if isinstance(part.right, Literal) and part.op in ("=~", "!~"):
                yield part.right
            yield from _regexes(part.left)
            yield from _regexes(part.right)
        case Filter(condition=condition) if condition is not None:
            yield from _regexes(condition)
        case Unary():
            yield from _regexes(part.operand)
