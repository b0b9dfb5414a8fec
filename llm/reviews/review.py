"""The queue of explanations to review, and the agreement of reviewers."""

from __future__ import annotations

from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.reviews.agreement import Agreement, agreement
from llm.reviews.feedback import ANONYMOUS
from llm.reviews.verdict import VERDICTS, Verdict
from llm.service import iso_utc

SUMMARY_CHARS = 300


def review_queue(store: Store, reviewer: str | None, limit: int, offset: int) -> dict[str, Any]:
    """A page of explanations to review, the most telling first; without those that `reviewer` has judged."""
    rows = store.read(
        load_sql("llm.queries", "review_queue"),
        {"reviewer": reviewer, "limit": limit, "offset": offset},
    ).to_pylist()
    total = rows[0]["total"] if rows else 0
    return {"queue": [_item(row) for row in rows], "total": total}


def review_agreement(store: Store) -> Agreement:
    """Over the latest verdicts of reviewers who gave a name; adjudications are not among them."""
    said: dict[str, dict[str, Verdict]] = {}
    for row in store.read(load_sql("llm.queries", "verdicts"), {"anonymous": ANONYMOUS}).to_pylist():
        said.setdefault(row["explanation_id"], {})[row["rater"]] = row["verdict"]
    return agreement(said)


def _item(row: dict[str, Any]) -> dict[str, Any]:
    del row["total"]
    summary = row.pop("summary")
    row["verdicts"] = [verdict for verdict in VERDICTS if verdict in row["verdicts"]]
    return row | {
        "created_at": iso_utc(row.pop("created_unix_nano")),
        "summary": summary if len(summary) <= SUMMARY_CHARS else summary[: SUMMARY_CHARS - 1] + "…",
    }
