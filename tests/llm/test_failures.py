"""Failures are explained as failures, with the type and the message of the deepest one first."""

from __future__ import annotations

from typing import Any

import pytest

from llm.explanation import Explanation, Subject
from tests.llm.support import MS

FAILED, SLOW = "f" * 32, "e" * 32
KEY_ERROR = {"exception.type": "KeyError", "exception.message": "price"}


@pytest.fixture
def failing_shop(shop: Any) -> Any:
    """60 of 61 payments fail with a KeyError below them; the trace of one is 5 ms over its usual, too."""
    shop.baseline("bank", "POST /pay", "SERVER", 3, 2)
    shop.baseline("ledger", "post entry", "INTERNAL", 1, 1)
    for trace_id in (FAILED, SLOW):
        root = shop.span(trace_id, "bank", "POST /pay", "SERVER", ms=9, status="ERROR", message="failed")
        shop.span(
            trace_id, "ledger", "post entry", parent=root, ms=6.25, status="ERROR", exception=KEY_ERROR,
            attributes={"db.system.name": "sqlite", "db.collection.name": "entries"},
        )  # fmt: skip
    shop.anomaly(
        "an-err", FAILED, "0000000000000001", "bank", "POST /pay", detector="error", observed=0.98,
        expected=0.01, unit="share", incident_id="in-err",
        details={"text": "60 of 61 calls failed in 10 s, usually 1%"},
    )  # fmt: skip
    shop.anomaly(
        "an-slow", SLOW, "0000000000000003", "bank", "POST /pay", observed=9 * MS, expected=3 * MS,
        incident_id="in-err",
    )  # fmt: skip
    item = {
        "kind": "self_time", "trace_id": FAILED, "span_id": "0000000000000002",
        "text": "post entry took 6 ms", "observed": 6.25e6, "expected": 1e6, "unit": "ns",
    }  # fmt: skip
    cause = {"service": "ledger", "operation": "post entry", "share": 0.9, "kind": "self_time"}
    shop.incident("in-err", SLOW, [{**cause, "evidence": [item]}], title="POST /pay in bank: 98% fail")
    return shop


@pytest.mark.parametrize(
    "subject",
    [
        Subject(kind="incident", id="in-err"),
        Subject(kind="anomaly", id="an-err"),
        Subject(kind="trace", id=FAILED),
    ],
    ids=lambda subject: subject.kind,
)  # fmt: skip
def test_the_error_comes_first(failing_shop: Any, explainer: Any, subject: Subject) -> None:
    """Of failed calls the first cause is the deepest error, with its type and message, never a slowness."""
    explanation: Explanation = explainer.analyse(subject)
    first = explanation.root_causes[0]
    assert (first.service, first.operation) == ("ledger", "post entry")
    assert first.statement == '"post entry" in ledger failed with "KeyError": "price"'
    assert explanation.summary.startswith(first.statement)
    assert "over its usual" not in explanation.summary
    assert "deepest span that failed" in explanation.recommendations[0]


def test_the_symptom_counts_the_failures(failing_shop: Any, explainer: Any) -> None:
    """How many calls failed stands in the text, though slow anomalies have larger figures."""
    summary = explainer.analyse(Subject(kind="incident", id="in-err")).summary
    assert "POST /pay in bank: 60 of 61 calls failed in 10 s, usually 1%" in summary


def test_an_exception_without_a_status_is_told(shop: Any, explainer: Any) -> None:
    """An exception that a span recorded is named even where no span has the status of an error."""
    root = shop.span(FAILED, "bank", "POST /pay", "SERVER", ms=3)
    shop.span(FAILED, "ledger", "post entry", parent=root, ms=1, exception=KEY_ERROR)
    explanation = explainer.analyse(Subject(kind="trace", id=FAILED))
    assert '"post entry" in ledger recorded an exception with "KeyError": "price"' in explanation.summary
    assert "No cause stands out" not in explanation.summary


def test_slowness_with_a_handled_error_stays_slowness(slow_shop: Any, explainer: Any) -> None:
    """An error below a request that succeeded does not take the place of what made it slow."""
    slow_shop.span("5" * 32, "checkout", "cache get", status="ERROR", ms=0.2, parent="0000000000000002")
    first = explainer.analyse(Subject(kind="incident", id="in-slow")).root_causes[0]
    assert "152 ms" in first.statement


@pytest.mark.parametrize(
    ("outcomes", "is_tried_again"),
    [(("ERROR", "ERROR", "OK"), True), (("ERROR", "ERROR"), True), (("OK", "ERROR", "OK"), False)],
)
def test_a_call_that_is_made_again(
    shop: Any, explainer: Any, outcomes: tuple[str, ...], is_tried_again: bool
) -> None:
    """Failed calls that their caller makes again are told as such, with advice on retries; a loop is none."""
    root = shop.span(FAILED, "bank", "POST /pay", "SERVER", ms=90)
    for number, status in enumerate(outcomes):
        at_ms = 1 + 20 * number
        call = shop.span(FAILED, "bank", "POST", "CLIENT", parent=root, at_ms=at_ms, ms=12, status=status)
        shop.span(
            FAILED, "psp", "POST /charge", "SERVER", parent=call, at_ms=at_ms + 1, ms=9, status=status,
            exception={"exception.type": "Unavailable"} if status == "ERROR" else None,
        )  # fmt: skip
    told = explainer.analyse(Subject(kind="trace", id=FAILED))
    said = 'POST /charge in psp failed with "Unavailable"' + " and was called again" * is_tried_again
    assert told.summary.startswith(f"{said} [")
    assert any("backoff" in line for line in told.recommendations) == is_tried_again
