from __future__ import annotations

from typing import Any

import pytest

from collector.errors import Conflict, InvalidInput
from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from llm.reviews.review import review_agreement, review_queue
from tests.llm.support import FAILED_TRACE, SLOW_TRACE


@pytest.fixture
def book(store: Any, clock: Any, new_id: Any) -> FeedbackBook:
    return FeedbackBook(store, clock_ns=clock, new_id=new_id)


@pytest.fixture
def explained(slow_shop: Any, explainer: Any) -> str:
    explanation_id: str = explainer.analyse(Subject(kind="incident", id="in-slow")).explanation_id
    return explanation_id


def say(book: FeedbackBook, explanation_id: str, rater: str, verdict: str, **more: Any) -> dict[str, Any]:
    body = {"explanation_id": explanation_id, "rater": rater, "verdict": verdict, **more}
    return book.record(Feedback.model_validate(body))[0]


def test_no_word_is_lost(book: FeedbackBook, explained: str) -> None:
    """A changed mind is a further revision: the view shows the last one, the history all."""
    say(book, explained, "ann", "wrong", error_tags=["wrong_service"], time_taken_s=8.5, comment="no")
    say(book, explained, "ann", "partly_right", correction={"root_service": "db"})
    (latest,) = book.of(explained)
    assert (latest["verdict"], latest["rating"], latest["revision"]) == ("partly_right", "down", 2)
    assert latest["error_tags"] == []
    history = book.history(explained)
    columns = ("verdict", "error_tags", "time_taken_s", "comment")
    assert [tuple(word[name] for name in columns) for word in history] == [
        ("wrong", ["wrong_service"], 8.5, "no"), ("partly_right", [], None, None),
    ]  # fmt: skip
    assert history[1]["correction"] == {"root_service": "db"}


@pytest.mark.parametrize(
    ("given", "rating", "verdict"),
    [({"rating": "up"}, "up", "right"), ({"rating": "down"}, "down", "wrong"),
     ({"verdict": "partly_right"}, "down", "partly_right"), ({"verdict": "right"}, "up", "right"),
     ({"rating": "down", "verdict": "partly_right"}, "down", "partly_right")],
)  # fmt: skip
def test_rating_and_verdict_follow_from_each_other(given: dict[str, Any], rating: str, verdict: str) -> None:
    """Clients that know only ratings, and those that know only verdicts, fill both columns."""
    feedback = Feedback.model_validate({"explanation_id": "e", **given})
    assert (feedback.rating, feedback.verdict) == (rating, verdict)


@pytest.mark.parametrize(
    "given",
    [{}, {"rating": "up", "verdict": "wrong"}, {"verdict": "right", "error_tags": ["wrong_service"]},
     {"verdict": "wrong", "error_tags": ["bad"]}, {"verdict": "wrong", "time_taken_s": -1},
     {"verdict": "wrong", "time_taken_s": float("nan")},
     {"verdict": "wrong", "correction": {"root_span_id": "12"}}],
)  # fmt: skip
def test_refused(given: dict[str, Any]) -> None:
    """No word at all, words that contradict each other, unknown tags and impossible times are refused."""
    with pytest.raises(ValueError, match=r"."):
        Feedback.model_validate({"explanation_id": "e", **given})


def test_span_tells_its_place(book: FeedbackBook, explained: str, store: Any) -> None:
    """A corrected span brings its service and operation; one of elsewhere, or a contradiction, is refused."""
    sql = "SELECT span_id, service_name, span_name FROM spans WHERE trace_id = ? AND span_kind = ? LIMIT 1"
    span_id, service, operation = store.read(sql, [SLOW_TRACE, "SERVER"]).to_pylist()[0].values()
    row = say(book, explained, "ann", "wrong", correction={"root_span_id": span_id.upper()})
    assert row["correction"] == {
        "root_span_id": span_id,
        "root_service": service,
        "root_operation": operation,
    }
    with pytest.raises(InvalidInput, match="in no trace"):
        say(book, explained, "ann", "wrong", correction={"root_span_id": "f" * 16})
    with pytest.raises(InvalidInput, match="not 'elsewhere'"):
        say(
            book, explained, "ann", "wrong", correction={"root_span_id": span_id, "root_service": "elsewhere"}
        )


def test_adjudication_decides_a_disagreement(book: FeedbackBook, explained: str, store: Any) -> None:
    """A third person decides between two that disagree; nobody does without a name or for themselves."""
    say(book, explained, "ann", "right")
    with pytest.raises(Conflict, match="nothing to decide"):
        say(book, explained, "cy", "wrong", is_adjudication=True)
    say(book, explained, "bob", "wrong", correction={"root_service": "db"})
    with pytest.raises(Conflict, match="one of the reviewers"):
        say(book, explained, "bob", "wrong", is_adjudication=True)
    with pytest.raises(InvalidInput, match="needs a name"):
        say(book, explained, "", "wrong", is_adjudication=True)
    assert review_queue(store, None, 10, 0)["queue"][0]["reasons"][0] == "disagreed"
    say(book, explained, "cy", "partly_right", is_adjudication=True)
    assert review_queue(store, None, 10, 0) == {"queue": [], "total": 0}
    say(book, explained, "cy", "wrong", is_adjudication=True)  # may think again
    with pytest.raises(Conflict, match="has adjudicated"):
        say(book, explained, "cy", "right")
    assert review_agreement(store).all.verdict_count == 2


def test_queue_puts_disagreed_uncertain_and_severe_first(
    book: FeedbackBook, slow_shop: Any, explainer: Any, store: Any
) -> None:
    """Disagreement goes first, then what code was unsure of and what is severe; agreed ones are gone."""
    slow_shop.span(FAILED_TRACE, "bank", "pay", status="ERROR")
    ids = {
        subject.kind: explainer.analyse(subject).explanation_id
        for subject in (
            Subject(kind="trace", id=FAILED_TRACE),
            Subject(kind="incident", id="in-slow"),
            Subject(kind="anomaly", id="an-slow"),
        )
    }
    explainer.analyse(Subject(kind="trace", id=FAILED_TRACE), refresh=True)  # the earlier text is out
    say(book, ids["anomaly"], "ann", "right")
    say(book, ids["anomaly"], "bob", "partly_right")
    queue = review_queue(store, None, 10, 0)
    assert [item["subject_kind"] for item in queue["queue"]] == ["anomaly", "incident", "trace"]
    assert queue["total"] == 3
    assert queue["queue"][0]["verdicts"] == ["right", "partly_right"]
    assert "severe" in queue["queue"][1]["reasons"]
    assert [i["subject_kind"] for i in review_queue(store, "ann", 10, 0)["queue"]] == ["incident", "trace"]
    assert [i["subject_kind"] for i in review_queue(store, None, 1, 1)["queue"]] == ["incident"]
    say(book, ids["anomaly"], "bob", "right")
    say(book, ids["incident"], "ann", "right")
    left = review_queue(store, "bob", 10, 0)["queue"]
    assert [(item["subject_kind"], item["review_count"]) for item in left] == [("incident", 1), ("trace", 0)]


def test_over_http(slow_shop: Any, http: Any) -> None:
    """History, queue and agreement are served; an adjudication without a disagreement answers 409."""
    explanation_id = http.post("/analyze", json={"incident_id": "in-slow"}).json()["explanation_id"]
    assert http.get("/feedback/queue").json()["queue"][0]["explanation_id"] == explanation_id
    body = {
        "explanation_id": explanation_id,
        "verdict": "wrong",
        "rater": "ann",
        "error_tags": ["bad_advice"],
    }
    assert http.post("/feedback", json=body).status_code == 201
    assert http.post("/feedback", json=body | {"rater": "cy", "is_adjudication": True}).status_code == 409
    told = http.get("/feedback", params={"explanation_id": explanation_id, "history": True}).json()
    assert [word["error_tags"] for word in told["history"]] == [["bad_advice"]]
    assert http.get("/feedback/agreement").json()["all"]["alpha"] is None
    assert http.get("/feedback/queue", params={"limit": 0}).status_code == 422
