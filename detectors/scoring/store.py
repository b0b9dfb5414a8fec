"""Scores of traces in the store."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from detectors.scoring.trace_score import TRACE_SIGMA

_QUERIES = "detectors.scoring.queries"
_FORGET_EVERY_NS = 3_600_000_000_000
# A span that lands later than this after its trace was scored causes a second row for that trace.
_AGAIN_WITHIN_NS = 3_600_000_000_000
_FORGOTTEN_AFTER_NS = 7 * 24 * _FORGET_EVERY_NS


class TraceScoreStore:
    """Writes scores, and deletes old ordinary ones."""

    def __init__(self) -> None:
        self._forgot_ns = 0

    def save(self, con: duckdb.DuckDBPyConnection, scores: pa.Table, now_unix_nano: int) -> None:
        """
        Args:
            scores: rows of `trace_score.SCORE_SCHEMA`.
        """
        if not scores.num_rows:
            return
        con.register("new_scores", scores)
        since = max(now_unix_nano - _AGAIN_WITHIN_NS, 0)
        con.execute(load_sql(_QUERIES, "drop_trace_scores"), {"since": since})
        con.execute(load_sql(_QUERIES, "insert_trace_scores"), {"now": now_unix_nano})
        con.unregister("new_scores")
        if now_unix_nano - self._forgot_ns >= _FORGET_EVERY_NS:
            oldest = {"oldest": max(now_unix_nano - _FORGOTTEN_AFTER_NS, 0), "kept_from": TRACE_SIGMA}
            con.execute(load_sql(_QUERIES, "forget_trace_scores"), oldest)
            self._forgot_ns = now_unix_nano
