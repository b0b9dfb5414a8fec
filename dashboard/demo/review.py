"""The demo's engineer: explains each incident, rates the explanation, corrects what no explanation can know.

The corrections come from the exchange's labels, which stand for an engineer's knowledge after the fact: the
trace shows *that* every statement waited, the label says *why*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.client import Client
from dashboard.demo.judge import Verdict

RATER = "demo"


def explain(client: Client, incident_id: str) -> dict[str, Any]:
    explanation: dict[str, Any] = client.post("/api/monitor/analyze", {"incident_id": incident_id})
    return explanation


def feedback_for(
    explanation: Mapping[str, Any], verdict: Verdict, label: Mapping[str, Any]
) -> dict[str, object]:
    """The body of a feedback request.

    An amount that is explained rightly is a thumbs-up. A fault of latency gets a thumbs-down with the
    correction, since its cause lies in a component that emits no spans of its own.
    """
    body: dict[str, object] = {"explanation_id": explanation["explanation_id"], "rater": RATER}
    if verdict.localised and verdict.kind == "whale_order":
        return {**body, "rating": "up", "comment": "Right: one order of unusual size, nothing is broken."}
    return {
        **body,
        "rating": "down",
        "correction": _correction(label),
        "comment": "The cause, from the label.",
    }


def _correction(label: Mapping[str, Any]) -> dict[str, object]:
    params = ", ".join(f"{key}={value}" for key, value in label["params"].items())
    symptoms = "; ".join(_symptom(symptom) for symptom in label["expected_symptoms"])
    correction: dict[str, object] = {
        "summary": f"Injected fault {label['kind']} ({params}) in {label['root_service']}. "
        f"It shows as {symptoms}.",
        "root_service": label["root_service"],
    }
    if label.get("root_operation"):
        correction["root_operation"] = label["root_operation"]
    return correction


def _symptom(symptom: Mapping[str, Any]) -> str:
    return f"{symptom['kind']} of {symptom['operation']} in {symptom['service']}"
