"""The paths of the explainer over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm.explanation import Explanation


def test_analyze(slow_shop: Any, http: Any) -> None:
    """An explanation over HTTP has the documented fields."""
    body = http.post("/analyze", json={"anomaly_id": "an-slow"}).json()
    assert Explanation.model_validate(body).root_causes[0].operation == "SELECT carts"
    assert set(body["root_causes"][0]) == {
        "rank", "service", "operation", "statement", "confidence", "evidence",
    }  # fmt: skip
    assert {"evidence_id", "trace_id", "span_id", "service", "operation", "kind", "statement", "observed",
            "expected", "unit"} <= set(body["evidence"][0])  # fmt: skip


def test_stream(slow_shop: Any, http: Any) -> None:
    """As an event stream: deltas that make up the summary, then the whole explanation."""
    response = http.post("/analyze", json={"trace_id": "5" * 32}, headers={"Accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.splitlines() for block in response.text.strip().split("\n\n")]
    named = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in events
    ]
    *deltas, (last, explanation) = named
    assert last == "explanation"
    assert "".join(data["text"] for name, data in deltas if name == "delta") == explanation["summary"]
    assert len(deltas) > 1


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_not_found(http: Any, accept: str) -> None:
    """An unknown subject is 404 with the error form, also when a stream was asked for."""
    response = http.post("/analyze", json={"incident_id": "nope"}, headers={"Accept": accept})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "body",
    [{}, {"anomaly_id": "a", "trace_id": "5" * 32}, {"trace_id": "xyz"}, {"anomaly_id": ""},
     {"anomaly": "a"}],
)  # fmt: skip
def test_wrong_request(http: Any, body: dict[str, str]) -> None:
    """No subject, two subjects, a malformed id and unknown fields are refused with a reason."""
    response = http.post("/analyze", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["message"]


def test_feedback(slow_shop: Any, http: Any) -> None:
    """The first verdict of a rater is 201, the second 200, and both are found by the explanation."""
    explanation_id = http.post("/analyze", json={"anomaly_id": "an-slow"}).json()["explanation_id"]
    verdict = {"explanation_id": explanation_id, "rating": "down", "rater": "ann"}
    assert http.post("/feedback", json=verdict).status_code == 201
    second = http.post("/feedback", json=verdict | {"correction": {"root_service": "db"}})
    assert second.status_code == 200
    assert http.get("/feedback", params={"explanation_id": explanation_id}).json() == {
        "feedback": [second.json()]
    }


def test_feedback_on_nothing(http: Any) -> None:
    """Feedback on an unknown explanation is 404."""
    assert http.post("/feedback", json={"explanation_id": "x", "rating": "up"}).status_code == 404


def test_expected_reaches_the_baselines(slow_shop: Any, http: Any) -> None:
    """A verdict that says "normal now" is handed on with its incident and rater; any other is not."""
    explanation_id = http.post("/analyze", json={"anomaly_id": "an-slow"}).json()["explanation_id"]
    verdict = {"explanation_id": explanation_id, "rating": "down", "rater": "ann"}
    assert "adopted" not in http.post("/feedback", json=verdict).json()
    assert http.post("/feedback", json=verdict | {"expected": True}).json()["adopted"] == ["in-slow by ann"]
