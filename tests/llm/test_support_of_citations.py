"""Every citation of code's own text supports its sentence, and advice speaks of the operation it names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llm.explanation import Explanation, Subject
from tests.llm.support import MS, SLOW_TRACE

INCIDENT = Subject(kind="incident", id="in-slow")


def places_of_sentences(explanation: Explanation) -> list[tuple[str, set[str]]]:
    """(sentence, operations of the facts it cites) of a summary."""
    facts = {fact.evidence_id: fact for fact in explanation.evidence}
    found = []
    for sentence, cited in re.findall(r"(.+?) \[([E\d, ]+)\]\.", explanation.summary):
        found.append((sentence.strip(), {facts[i].operation for i in re.findall(r"E\d+", cited)}))
    return found


@pytest.fixture
def busy_shop(slow_shop: Any) -> Any:
    """The service of the slow statement has another slow statement, and evidence about both."""
    slow_shop.baseline("checkout", "INSERT orders", "CLIENT", 1, 1)
    other = slow_shop.span(
        SLOW_TRACE, "checkout", "INSERT orders", "CLIENT", parent="0000000000000002", at_ms=157, ms=20,
        attributes={"db.system.name": "mysql", "db.collection.name": "orders"},
    )  # fmt: skip
    evidence = [
        {"kind": kind, "trace_id": SLOW_TRACE, "span_id": span_id, "text": "t", "observed": ms * MS,
         "expected": MS, "unit": "ns"}
        for kind, span_id, ms in (
            ("self_time", other, 20), ("self_time", "0000000000000003", 229),
            ("edge_time", other, 7),
        )
    ]  # fmt: skip
    cause = {"service": "checkout", "operation": "SELECT carts", "share": 0.9, "kind": "self_time"}
    slow_shop.incident("in-busy", SLOW_TRACE, [{**cause, "evidence": evidence}])
    slow_shop.anomaly(
        "an-busy", SLOW_TRACE, "0000000000000002", "checkout", "POST /checkout", observed=176 * MS,
        expected=8 * MS, incident_id="in-busy",
    )  # fmt: skip
    return slow_shop


@pytest.mark.parametrize("incident", ["in-busy", "in-slow"])
def test_citations_are_of_the_sentences_place(busy_shop: Any, explainer: Any, incident: str) -> None:
    """A sentence about one operation cites facts about that operation, and no others."""
    explanation = explainer.analyse(Subject(kind="incident", id=incident))
    sentences = places_of_sentences(explanation)
    assert sentences
    for sentence, operations in sentences:
        assert len(operations) == 1
        if not sentence.startswith("The incident has"):
            assert operations.pop() in sentence
    facts = {fact.evidence_id: fact for fact in explanation.evidence}
    for cause in explanation.root_causes:
        assert {facts[i].operation for i in cause.evidence} == {cause.operation}
        assert facts[cause.evidence[0]].statement == cause.statement


def test_advice_takes_attributes_of_its_own_operation(busy_shop: Any, explainer: Any) -> None:
    """The table and the system that advice names are those of the statement it names."""
    advice = " ".join(explainer.analyse(Subject(kind="incident", id="in-busy")).recommendations)
    assert "`SELECT carts` on carts" in advice
    assert "postgresql" in advice
    assert "mysql" not in advice
    assert "orders" not in advice
