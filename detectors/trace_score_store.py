"""Scores of traces in the store."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from detectors.detect.trace_score import TRACE_SIGMA

_QUERIES = "detectors.queries"
_FORGET_EVERY_NS = 3_600_000_000_000
_FORGOTTEN_AFTER_NS = 7 * 24 * _FORGET_EVERY_NS


class TraceScoreStore:
    """Writes them, and forgets old ordinary ones."""

    def __init__(self) -> None:
        self._forgot_ns = 0

    def save(
        self, con: duckdb.DuckDBPyConnection, scores: pa.Table, now_unix_nano: int, *, again: bool
    ) -> None:
        """
        Args:
            scores: rows of `trace_score.SCORE_SCHEMA`.
            again: some of these traces have been scored before.
        """
        if not scores.num_rows:
            return
        con.register("new_scores", scores)
        if again:
            bounds = pc.min_max(scores["start_unix_nano"]).as_py()
            reach = {"earliest": bounds["min"], "latest": bounds["max"]}
            con.execute(load_sql(_QUERIES, "drop_trace_scores"), reach)
        con.execute(load_sql(_QUERIES, "insert_trace_scores"), {"now": now_unix_nano})
        con.unregister("new_scores")
        if now_unix_nano - self._forgot_ns >= _FORGET_EVERY_NS:
            oldest = {"oldest": max(now_unix_nano - _FORGOTTEN_AFTER_NS, 0), "kept_from": TRACE_SIGMA}
            con.execute(load_sql(_QUERIES, "forget_trace_scores"), oldest)
            self._forgot_ns = now_unix_nano
