from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.errors import InvalidInput, NotFound
from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook


@pytest.fixture
def book(store: Any, clock: Any, new_id: Any) -> FeedbackBook:
    return FeedbackBook(store, clock_ns=clock, new_id=new_id)


@pytest.fixture
def explained(slow_shop: Any, explainer: Any) -> str:
    explanation_id: str = explainer.analyse(Subject(kind="anomaly", id="an-slow")).explanation_id
    return explanation_id


def test_second_word_replaces_the_first(book: FeedbackBook, explained: str) -> None:
    """One rater has one row for an explanation: id and birth of the first word, content of the last."""
    first, is_new = book.record(Feedback(explanation_id=explained, rating="up", rater="ann"))
    assert is_new
    changed = Feedback.model_validate(
        {"explanation_id": explained, "rating": "down", "rater": "ann", "correction": {"root_service": "db"}}
    )
    second, is_new = book.record(changed)
    assert not is_new
    assert second["feedback_id"] == first["feedback_id"]
    assert second["created_at"] == first["created_at"] < second["updated_at"]
    assert second["correction"] == {"root_service": "db"}
    assert book.of(explained) == [second]


def test_raters_do_not_share(book: FeedbackBook, explained: str) -> None:
    """Two raters have two rows, and nobody's name is 'anonymous'."""
    book.record(Feedback(explanation_id=explained, rating="up", rater="ann"))
    book.record(Feedback(explanation_id=explained, rating="down"))
    assert {row["rater"] for row in book.of(explained)} == {"ann", "anonymous"}


def test_hidden_characters_are_stripped(book: FeedbackBook, explained: str) -> None:
    """Control, zero-width and tag characters do not reach the store; line breaks of a summary do."""
    row, _ = book.record(
        Feedback.model_validate({
            "explanation_id": explained, "rating": "down", "rater": "a\u200bnn\x00",
            "correction": {"summary": "One\x1b[31m.\nTwo\U000e0041.", "root_operation": " ",
                           "recommendations": [""]},
        })
    )  # fmt: skip
    assert row["rater"] == "ann"
    assert row["correction"] == {"summary": "One [31m.\nTwo."}


def test_unknown_explanation(book: FeedbackBook) -> None:
    """Feedback on nothing is NotFound."""
    with pytest.raises(NotFound, match="no explanation 'x'"):
        book.record(Feedback(explanation_id="x", rating="up"))


@pytest.mark.parametrize(
    "body",
    [{"rating": "maybe"}, {"rating": "up", "stars": 5}, {"rating": "down", "correction": {"cause": "x"}},
     {"rating": "down", "correction": {"summary": "x" * 4001}}, {"rating": "up", "rater": "x" * 201},
     {"rating": "down", "correction": {"root_operation": "x"}},
     {"rating": "down", "correction": {"recommendations": ["x"] * 11}}],
)  # fmt: skip
def test_refused(body: dict[str, Any]) -> None:
    """Unknown ratings and fields, and texts beyond their size, are refused."""
    with pytest.raises(ValidationError):
        Feedback.model_validate({"explanation_id": "e", **body})


def test_only_an_incident_can_be_expected(book: FeedbackBook, explained: str, store: Any) -> None:
    """Only an incident can be called normal; an explanation of no incident, or an unknown one, is refused."""
    assert book.incident_of(explained) == "in-slow"
    with store.transaction() as con:
        con.execute("DELETE FROM incidents")
    with pytest.raises(InvalidInput, match="not about an incident"):
        book.incident_of(explained)
    with pytest.raises(NotFound):
        book.incident_of("unknown")
