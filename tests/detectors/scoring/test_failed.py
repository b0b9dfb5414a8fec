"""Failed spans belong to the stretch of errors that they lie in."""

from __future__ import annotations

import pyarrow as pa

from detectors.scoring.failed import join_failed
from detectors.scoring.trace_score import SCORE_SCHEMA
from detectors.spans.error_rate import Erroneous

S = 1_000_000_000
PAY = ("payments", "POST /pay", "SERVER")


def span(trace_id: str, end_s: int, *, failed: bool = True, callee: str | None = None) -> dict[str, object]:
    names = dict(zip(("service_name", "operation", "span_kind"), PAY, strict=True))
    begun = {"start_unix_nano": (end_s - 1) * S, "duration_ns": S}
    return {"trace_id": trace_id, "span_id": "s", **names, **begun, "failed": failed, "callee": callee}


def test_each_failure_of_a_storm_makes_its_trace_anomalous_and_no_other():
    """Usual failures before and after, spans that succeed in it, and calls of others stay as they were."""
    spans = [
        span("in it", 15),
        span("before", 9),
        span("after", 21),
        span("well", 15, failed=False),
        span("of another", 15, callee="prices:80"),
    ]
    blank = {"start_unix_nano": 0, "times_sigma": 0.0, "forms_sigma": 2.0, "span_id": "r", "span_count": 1}
    blank |= {"service_name": "shop", "operation": "buy", "reason": "fails", "anomaly_sigma": 2.0}
    scores = pa.Table.from_pylist([{"trace_id": row["trace_id"], **blank} for row in spans], SCORE_SCHEMA)
    storm = Erroneous(PAY, "", 10 * S, 20 * S, 8.0, 67, 100)
    joined = join_failed(scores, pa.Table.from_pylist(spans), [storm]).to_pylist()
    assert [row["anomaly_sigma"] for row in joined] == [8.0, 2.0, 2.0, 2.0, 2.0]
    assert (joined[0]["service_name"], joined[0]["reason"]) == ("payments", "fails as 67 of 100 did then")
