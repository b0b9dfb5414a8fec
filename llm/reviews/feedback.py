"""Verdicts in the store: all are kept, and the latest of each reviewer counts."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from collector.errors import Conflict, InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.redaction.redact import redact_name
from llm.reviews.verdict import Correction, Feedback
from llm.service import iso_utc

ANONYMOUS = "anonymous"
__all__ = ["ANONYMOUS", "Correction", "Feedback", "FeedbackBook"]


class FeedbackBook:
    """Feedback in the store. Safe in any thread."""

    def __init__(
        self,
        store: Store,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._store = store
        self._clock_ns = clock_ns
        self._new_id = new_id
        self._guard = threading.Lock()  # two first verdicts of one reviewer would both be revision 1

    def record(self, feedback: Feedback) -> tuple[dict[str, Any], bool]:
        """Append a reviewer's verdict. Returns its row and whether it is their first on this explanation.

        Raises:
            NotFound: no such explanation.
            InvalidInput: the true span is not stored, or lies elsewhere than the true service.
            Conflict: an adjudication where there is nothing to decide, or by one of those who disagree.
        """
        rater = feedback.rater or ANONYMOUS
        correction = self._correction(feedback)
        with self._guard:
            earlier = self.of(feedback.explanation_id)
            own = next((row for row in earlier if row["rater"] == rater), None)
            if feedback.is_adjudication:
                _check_adjudication(rater, earlier, own)
            elif own and own["is_adjudication"]:
                raise Conflict(
                    f"{rater!r} has adjudicated this explanation",
                    hint="change the decision with is_adjudication",
                )
            row = {
                "feedback_id": own["feedback_id"] if own else self._new_id(),
                "revision": own["revision"] + 1 if own else 1,
                "explanation_id": feedback.explanation_id,
                "now_unix_nano": self._clock_ns(),
                "rater": rater,
                "rating": feedback.rating,
                "verdict": feedback.verdict,
                "correction": json.dumps(correction, ensure_ascii=False) if correction else None,
                "error_tags": sorted(set(feedback.error_tags)),
                "comment": feedback.comment or None,
                "time_taken_s": feedback.time_taken_s,
                "is_adjudication": feedback.is_adjudication,
            }
            with self._store.transaction() as connection:
                connection.execute(load_sql("llm.queries", "append_feedback"), row)
            stored = next(row for row in self.of(feedback.explanation_id) if row["rater"] == rater)
        return stored, own is None

    def incident_of(self, explanation_id: str) -> str:
        """The incident of an explanation.

        Raises:
            NotFound: no such explanation.
            InvalidInput: it explains a lone anomaly or trace.
        """
        rows = self._store.read(
            load_sql("llm.queries", "incident_of_explanation"), {"explanation_id": explanation_id}
        ).to_pylist()
        if not rows:
            raise _unknown(explanation_id)
        if rows[0]["incident_id"] is None:
            raise InvalidInput(
                f"explanation {explanation_id!r} is not about an incident",
                hint="only the level of an incident can be expected; resolve a lone anomaly instead",
            )
        return str(rows[0]["incident_id"])

    def of(self, explanation_id: str) -> list[dict[str, Any]]:
        """The latest verdict of each reviewer on one explanation, the newest first."""
        table = self._store.read(load_sql("llm.queries", "feedback"), {"explanation_id": explanation_id})
        return [_row(row) for row in table.to_pylist()]

    def history(self, explanation_id: str) -> list[dict[str, Any]]:
        """All verdicts on one explanation, the oldest first."""
        table = self._store.read(
            load_sql("llm.queries", "feedback_history"), {"explanation_id": explanation_id}
        )
        return [_word(row) | {"said_at": iso_utc(row.pop("said_unix_nano"))} for row in table.to_pylist()]

    def _correction(self, feedback: Feedback) -> dict[str, Any]:
        """The correction with the service and operation of its span.

        Raises:
            NotFound: no such explanation.
            InvalidInput: the span is not one of the explanation's traces, or lies elsewhere than is said.
        """
        given = feedback.correction.given() if feedback.correction else {}
        parameters = {"explanation_id": feedback.explanation_id, "span_id": given.get("root_span_id", "")}
        rows = self._store.read(load_sql("llm.queries", "corrected_span"), parameters).to_pylist()
        if not rows:
            raise _unknown(feedback.explanation_id)
        if "root_span_id" not in given:
            return given
        if rows[0]["service"] is None:
            raise InvalidInput(
                f"span {given['root_span_id']} is in no trace of this explanation",
                hint="name a span of its trace or evidence, or leave root_span_id away",
            )
        for name, is_stored in (("root_service", "service"), ("root_operation", "operation")):
            found = redact_name(rows[0][is_stored])
            if given.setdefault(name, found) not in (found, rows[0][is_stored]):
                raise InvalidInput(
                    f"span {given['root_span_id']} has {is_stored} {found!r}, not {given[name]!r}",
                    hint=f"correct {name}, or leave it away: the span says it",
                )
        return given


def _check_adjudication(rater: str, earlier: list[dict[str, Any]], own: Mapping[str, Any] | None) -> None:
    if rater == ANONYMOUS:
        raise InvalidInput("an adjudication needs a name", hint="say who decides, in `rater`")
    if own is not None and not own["is_adjudication"]:
        raise Conflict(
            f"{rater!r} is one of the reviewers of this explanation",
            hint="let somebody else decide, or change the own verdict",
        )
    if own is None and not disagree(earlier):
        raise Conflict(
            "there is nothing to decide: no two reviewers of this explanation disagree",
            hint="send a verdict without is_adjudication",
        )


def disagree(reviews: list[dict[str, Any]]) -> bool:
    """Whether reviewers gave different verdicts, or name different services as the cause."""
    words = [row for row in reviews if not row["is_adjudication"]]
    places = {(row["correction"] or {}).get("root_service") for row in words} - {None}
    return len({row["verdict"] for row in words}) > 1 or len(places) > 1


def _unknown(explanation_id: str) -> NotFound:
    return NotFound(
        f"no explanation {explanation_id!r} is stored",
        hint="rate the explanation_id that POST /api/monitor/analyze gave",
    )


def _word(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"correction": json.loads(row["correction"]) if row["correction"] else None}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    created, updated = row.pop("created_unix_nano"), row.pop("updated_unix_nano")
    return _word(row) | {"created_at": iso_utc(created), "updated_at": iso_utc(updated)}
