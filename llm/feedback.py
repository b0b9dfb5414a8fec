"""The engineer's verdict on an explanation: validated, cleaned, one row for each rater and explanation."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from collector.errors import InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.redact import redact_paragraphs, redact_text, strip_invisible
from llm.service import iso_utc

ANONYMOUS = "anonymous"


TEXT_LIMIT_CHARS = 4000
LINE_LIMIT_CHARS = 200


def _clean(text: str) -> str:
    """Visible text without secrets: people paste log lines, and what is kept here may be exported."""
    return redact_paragraphs(text, TEXT_LIMIT_CHARS)


def _clean_line(text: str) -> str:
    return redact_text(text, LINE_LIMIT_CHARS)


def _visible_line(text: str) -> str:
    return " ".join(strip_invisible(text).split())


Line = Annotated[str, Field(max_length=LINE_LIMIT_CHARS), AfterValidator(_clean_line)]
Text = Annotated[str, Field(max_length=TEXT_LIMIT_CHARS), AfterValidator(_clean)]
# A reviewer may sign with an address: it stays in the store, and no export holds it.
Reviewer = Annotated[str, Field(max_length=LINE_LIMIT_CHARS), AfterValidator(_visible_line)]


class Correction(BaseModel):
    """What the explanation should have said. A field left out, or empty, keeps what stands."""

    model_config = ConfigDict(extra="forbid")

    summary: Text | None = None
    root_service: Line | None = None
    root_operation: Line | None = None
    recommendations: Annotated[list[Line], Field(max_length=10)] | None = None

    @model_validator(mode="after")
    def _operation_has_its_service(self) -> Correction:
        if self.root_operation and not self.root_service:
            raise ValueError("root_operation needs root_service: operations of two services may share a name")
        return self

    def given(self) -> dict[str, Any]:
        """The fields that say something."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if values["recommendations"]:
            values["recommendations"] = [line for line in values["recommendations"] if line]
        return {name: value for name, value in values.items() if value}


class Feedback(BaseModel):
    """The body of `POST /api/monitor/feedback`."""

    model_config = ConfigDict(extra="forbid")

    explanation_id: Annotated[str, Field(min_length=1, max_length=100)]
    rating: Literal["up", "down"]
    correction: Correction | None = None
    comment: Text | None = None
    rater: Reviewer | None = None
    expected: bool = False  # the incident shows what is normal now: baselines adopt it


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
        self._guard = threading.Lock()  # two writers of one row would conflict, not wait

    def record(self, feedback: Feedback) -> tuple[dict[str, Any], bool]:
        """Store or replace the rater's verdict. Returns the row and whether it is new.

        Raises:
            NotFound: no such explanation.
        """
        new_id = self._new_id()
        correction = feedback.correction.given() if feedback.correction else {}
        with self._guard:
            with self._store.transaction() as connection:
                found = connection.execute(
                    "SELECT 1 FROM explanations WHERE explanation_id = ?", [feedback.explanation_id]
                ).fetchone()
                if found is None:
                    raise _unknown(feedback.explanation_id)
                connection.execute(
                    load_sql("llm.queries", "upsert_feedback"),
                    {
                        "feedback_id": new_id,
                        "explanation_id": feedback.explanation_id,
                        "now_unix_nano": self._clock_ns(),
                        "rater": feedback.rater or ANONYMOUS,
                        "rating": feedback.rating,
                        "correction": json.dumps(correction, ensure_ascii=False) if correction else None,
                        "comment": feedback.comment or None,
                    },
                )
            rater = feedback.rater or ANONYMOUS
            row = next(row for row in self.of(feedback.explanation_id) if row["rater"] == rater)
        return row, row["feedback_id"] == new_id

    def incident_of(self, explanation_id: str) -> str:
        """The incident that an explanation speaks of.

        Raises:
            NotFound: no such explanation.
            InvalidInput: it speaks of a lone anomaly or trace.
        """
        rows = self._store.read(
            load_sql("llm.queries", "incident_of_explanation"), {"explanation_id": explanation_id}
        ).to_pylist()
        if not rows:
            raise _unknown(explanation_id)
        if rows[0]["incident_id"] is None:
            raise InvalidInput(
                f"explanation {explanation_id!r} speaks of no incident",
                hint="only the level of an incident can be expected; resolve a lone anomaly instead",
            )
        return str(rows[0]["incident_id"])

    def of(self, explanation_id: str) -> list[dict[str, Any]]:
        """All verdicts on one explanation, the newest word first."""
        table = self._store.read(load_sql("llm.queries", "feedback"), {"explanation_id": explanation_id})
        return [_row(row) for row in table.to_pylist()]


def _unknown(explanation_id: str) -> NotFound:
    return NotFound(
        f"no explanation {explanation_id!r} is stored",
        hint="rate the explanation_id that POST /api/monitor/analyze gave",
    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    created, updated = row.pop("created_unix_nano"), row.pop("updated_unix_nano")
    correction = row.pop("correction")
    return row | {
        "created_at": iso_utc(created),
        "updated_at": iso_utc(updated),
        "correction": json.loads(correction) if correction else None,
    }
