"""What people said of explanations."""

from __future__ import annotations

import json
from typing import Any

from collector.store.sqlfile import load_sql
from dashboard.data.connection import MONITOR, QUERIES, read


def ratings(base_url: str, kind: str, subject_id: str) -> list[dict[str, Any]]:
    """Every rating of the subject's explanations, newest first; `correction` parsed."""
    statement = load_sql(QUERIES, "ratings_of_subject")
    rows = read(
        base_url, lambda client: client.sql(statement, {"kind": kind, "subject_id": subject_id})
    ).to_dicts()
    return [
        row | {"correction": json.loads(row["correction"]) if row["correction"] else None} for row in rows
    ]


def rate(base_url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Stores a rating (and correction); the same rater's earlier one is replaced."""
    row: dict[str, Any] = read(base_url, lambda client: client.post(f"{MONITOR}/feedback", body))
    return row
