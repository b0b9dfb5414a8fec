from __future__ import annotations

from dashboard.demo.judge import Verdict
from dashboard.demo.review import RATER, feedback_for

EXPLANATION = {"explanation_id": "x1"}
SLOW = {
    "kind": "db_slow",
    "root_service": "kx-exchange",
    "root_operation": "SELECT wallets",
    "params": {"delay_ms": 150.0, "statements": ["SELECT wallets"]},
    "expected_symptoms": [{"kind": "latency", "service": "kx-exchange", "operation": "SELECT wallets"}],
}
WHALE = {**SLOW, "kind": "whale_order", "root_service": "kx-wallet"}


def verdict(kind: str, *, localised: bool) -> Verdict:
    return Verdict(kind, "any", True, localised, 1.0, "i1")


def test_a_latency_fault_is_corrected_with_what_only_the_label_knows() -> None:
    """The correction names the fault, its parameters, its symptoms and its root."""
    assert feedback_for(EXPLANATION, verdict("db_slow", localised=True), SLOW) == {
        "explanation_id": "x1",
        "rater": RATER,
        "rating": "down",
        "correction": {
            "summary": "Injected fault db_slow (delay_ms=150.0, statements=['SELECT wallets']) "
            "in kx-exchange. It shows as latency of SELECT wallets in kx-exchange.",
            "root_service": "kx-exchange",
            "root_operation": "SELECT wallets",
        },
        "comment": "The cause, from the label.",
    }


def test_a_whale_that_was_explained_rightly_gets_a_thumbs_up() -> None:
    """Nothing is to be corrected."""
    feedback = feedback_for(EXPLANATION, verdict("whale_order", localised=True), WHALE)

    assert feedback["rating"] == "up"
    assert "correction" not in feedback


def test_a_whale_that_was_explained_wrongly_is_corrected() -> None:
    """The thumbs-up is earned, not given."""
    feedback = feedback_for(EXPLANATION, verdict("whale_order", localised=False), WHALE)

    assert feedback["rating"] == "down"
