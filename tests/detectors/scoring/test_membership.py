"""A trace is as unusual as the least probable stretch that one of its spans belongs to."""

from __future__ import annotations

import pyarrow as pa

from detectors.scoring.membership import Member, keep_stronger, raised
from detectors.scoring.trace_score import SCORE_SCHEMA

SCORES = pa.Table.from_pylist(
    [
        {"trace_id": name, "anomaly_sigma": 4.0, "reason": "", "span_id": "root", "span_count": 3}
        for name in ("a", "b", "c")
    ],
    SCORE_SCHEMA,
)


def member(sigma: float, span_id: str) -> Member:
    return Member(sigma, f"as {span_id}", {"span_id": span_id, "service_name": "shop", "operation": "buy"})


def test_the_least_probable_stretch_counts():
    """Of several the strongest raises the score, of equal ones the first; weaker ones, and traces without a
    score, change nothing."""
    members: dict[str, Member] = {}
    for trace_id, sigma, span_id in (
        *(("a", 5.0, "first"), ("a", 7.0, "strong"), ("a", 6.0, "late"), ("a", 7.0, "equal")),
        *(("b", 3.0, "weak"), ("gone", 9.0, "other")),
    ):
        keep_stronger(members, trace_id, member(sigma, span_id))
    rows = raised(SCORES, members).to_pylist()
    assert [(row["trace_id"], row["anomaly_sigma"], row["span_id"]) for row in rows] == [
        ("a", 7.0, "strong"),
        ("b", 4.0, "root"),
        ("c", 4.0, "root"),
    ]
    assert rows[0]["reason"] == "as strong"
    assert raised(SCORES, {}) is SCORES
