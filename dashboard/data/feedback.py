"""Verdicts of people on explanations."""

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


def review_queue(base_url: str, reviewer: str, limit: int = 50) -> dict[str, Any]:
    """What to review next, the most useful first: `{queue, total}`."""
    answer: dict[str, Any] = read(
        base_url,
        lambda client: client.get(f"{MONITOR}/feedback/queue", reviewer=reviewer or None, limit=limit),
    )
    return answer


def agreement(base_url: str) -> dict[str, Any]:
    """How far reviewers agree: `{min_shared, pairs, all}`."""
    answer: dict[str, Any] = read(base_url, lambda client: client.get(f"{MONITOR}/feedback/agreement"))
    return answer


def training_stats(base_url: str) -> dict[str, Any]:
    """How many explanations and verdicts there are, and how many rows each export format has."""
    answer: dict[str, Any] = read(base_url, lambda client: client.get(f"{MONITOR}/training/stats"))
    return answer
