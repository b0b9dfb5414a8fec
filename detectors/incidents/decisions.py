"""Decisions on anomalies and incidents (who, what, when), appended where the state changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from collector.store.sqlfile import load_sql
from collector.store.store import Store

_QUERIES = "detectors.incidents.queries"
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision; `said_by` is None where no name was given."""

    state: str
    said_by: str | None
    now_unix_nano: int

    def append(self, con: duckdb.DuckDBPyConnection, subject_kind: str, subject_id: str) -> None:
        params = {
            "subject_kind": subject_kind,
            "subject_id": subject_id,
            "state": self.state,
            "said_by": (self.said_by or "").strip() or ANONYMOUS,
            "now": self.now_unix_nano,
        }
        con.execute(load_sql(_QUERIES, "insert_decision"), params)


def read_decisions(store: Store, subject_kind: str, subject_id: str) -> list[dict[str, Any]]:
    """`{state, said_by, said_at}` of the newest fifty, newest first."""
    params = {"subject_kind": subject_kind, "subject_id": subject_id}
    rows: list[dict[str, Any]] = store.read(load_sql(_QUERIES, "list_decisions"), params).to_pylist()
    return rows
