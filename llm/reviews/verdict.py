"""A reviewer's verdict: the body of `POST /api/monitor/feedback`, validated and cleaned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from llm.redaction.redact import redact_paragraphs, redact_text, strip_invisible

TEXT_LIMIT_CHARS = 4000
LINE_LIMIT_CHARS = 200
MAX_TIME_TAKEN_S = 86_400.0

Verdict = Literal["right", "partly_right", "wrong"]
Rating = Literal["up", "down"]
ErrorTag = Literal[
    "wrong_service", "wrong_operation", "wrong_span", "wrong_symptom", "wrong_figure", "missing_cause",
    "extra_cause", "false_alarm", "unsupported_claim", "unclear_text", "bad_advice", "outdated",
]  # fmt: skip
VERDICTS: tuple[Verdict, ...] = ("right", "partly_right", "wrong")  # an ordinal scale, best first


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
    root_span_id: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{16})?$")] | None = None
    recommendations: Annotated[list[Line], Field(max_length=10)] | None = None

    @model_validator(mode="after")
    def _operation_has_its_service(self) -> Correction:
        if self.root_operation and not (self.root_service or self.root_span_id):
            raise ValueError("root_operation needs root_service: operations of two services may share a name")
        return self

    def given(self) -> dict[str, Any]:
        """The fields that say something."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if values["recommendations"]:
            values["recommendations"] = [line for line in values["recommendations"] if line]
        if values["root_span_id"]:
            values["root_span_id"] = values["root_span_id"].lower()
        return {name: value for name, value in values.items() if value}


class Feedback(BaseModel):
    """One reviewer's word. `verdict` or `rating` may be left out: each follows from the other."""

    model_config = ConfigDict(extra="forbid")

    explanation_id: Annotated[str, Field(min_length=1, max_length=100)]
    rating: Rating | None = (
        None  # up is right; down is partly_right or wrong, and wrong unless `verdict` says
    )
    verdict: Verdict | None = None
    correction: Correction | None = None
    error_tags: Annotated[list[ErrorTag], Field(max_length=12)] = []
    comment: Text | None = None
    rater: Reviewer | None = None
    time_taken_s: Annotated[float, Field(ge=0, le=MAX_TIME_TAKEN_S, allow_inf_nan=False)] | None = None
    is_adjudication: bool = False  # decides between reviewers who disagree
    expected: bool = False  # the incident shows what is normal now: baselines adopt it

    @model_validator(mode="after")
    def _one_word(self) -> Feedback:
        if self.rating is None and self.verdict is None:
            raise ValueError("give a verdict (right, partly_right, wrong) or a rating (up, down)")
        if self.verdict is None:
            self.verdict = "right" if self.rating == "up" else "wrong"
        rating: Rating = "up" if self.verdict == "right" else "down"
        if self.rating not in (None, rating):
            raise ValueError(f"verdict {self.verdict!r} is rating {rating!r}, not {self.rating!r}")
        self.rating = rating
        if self.verdict == "right" and self.error_tags:
            raise ValueError("error_tags name what was wrong; an explanation that is right has none")
        return self
