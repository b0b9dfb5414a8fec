"""The explainer's data: facts with references, causes that cite them, and the explanation made of both."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SubjectKind = Literal["anomaly", "incident", "trace"]
CauseKind = Literal[
    "database", "remote_call", "message_wait", "own_code", "error", "amount", "resource", "market",
    "self_trade",
    "repeated_calls", "retries", "saturation", "pool", "call_structure",
    "failed_call", "unanswered",
]  # fmt: skip


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Frozen):
    """The subject of an explanation."""

    kind: SubjectKind
    id: str


class Fact(Frozen):
    """One checkable statement about one stored span.

    `observed` and `expected` are in `unit` ('ns', an asset such as 'BTC', or None for a plain count).
    `share` is the part in [0, 1] of the trace's slowdown that the fact accounts for. `peer` is the service
    and operation at the other end, where the fact is about a way: a message's producer.
    """

    evidence_id: str
    trace_id: str
    span_id: str
    service: str
    operation: str
    kind: str
    statement: str
    observed: float | None = None
    expected: float | None = None
    unit: str | None = None
    sample_count: int | None = None
    sigma: float | None = None
    share: float | None = None
    peer: tuple[str, str] | None = None


class Cause(Frozen):
    """A candidate root cause found by code. `score` orders candidates; `confidence` is in [0, 1]."""

    service: str
    operation: str
    kind: CauseKind
    statement: str
    score: float
    confidence: float
    evidence: tuple[str, ...]
    separate: bool = False
    """Whether its anomalies lie in other traces than those of the causes before it: another fault."""


class Evidence(Frozen):
    """All that is known about a subject. `causes` are ranked best first; none means that none stands out.

    `deployed` is the id of the fact about a version that sets the incident's traces apart, if there is one.
    """

    subject: Subject
    group_id: str
    subject_size: int
    trace_id: str | None
    headline: str
    facts: tuple[Fact, ...]
    causes: tuple[Cause, ...]
    symptom: str = ""
    path: tuple[str, ...] = ()
    window: tuple[str, str] | None = None
    attributes: dict[str, str | int | float | bool] = Field(default_factory=dict)
    deployed: str = ""

    def fact(self, evidence_id: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.evidence_id == evidence_id), None)


class RootCause(Frozen):
    rank: int
    service: str
    operation: str
    statement: str
    confidence: float
    evidence: tuple[str, ...]


class SentenceCheck(Frozen):
    """The check of one sentence of a model: kept, replaced by code's sentence, or dropped; and by which rule.

    `rule` is "entailed" for what was kept. `shown` is the text that people see, empty for what was dropped.
    `written` is the model's text; it stays in the store and is shown to nobody.
    """

    written: str
    cited: tuple[str, ...]
    verdict: Literal["kept", "replaced", "dropped"]
    rule: str
    shown: str


class Draft(Frozen):
    """The text of an explanation, before it is stored. Sentences cite facts as `[E1]`."""

    summary: str
    root_causes: tuple[RootCause, ...]
    recommendations: tuple[str, ...]
    confidence: float


EdgeKind = Literal["waits_for", "message", "called_by"]


class Place(Frozen):
    service: str
    operation: str
    span_id: str


class Edge(Frozen):
    """One step away from the cause.

    `waits_for`: the target called the source, and waited. `message`: it sent what the source took.
    `called_by`: the source called it, after the way has turned.
    """

    source: Place
    target: Place
    kind: EdgeKind


class Propagation(Frozen):
    """`reaches_symptom` is whether the last target is the symptom's span; `note` says why not."""

    trace_id: str | None
    edges: tuple[Edge, ...]
    reaches_symptom: bool
    note: str


class PastIncident(Frozen):
    """`said` is the newest word that counts: an adjudication, else a correction, else any."""

    explanation_id: str
    subject_kind: str
    subject_id: str
    said_at: str
    match: Literal["same structure", "similar words"]
    similarity: float
    verdict: str
    said_by: str
    root_service: str
    root_operation: str
    summary: str


class Explanation(Frozen):
    """A stored explanation, in the shape of `POST /api/monitor/analyze`. `created_at` is ISO-8601 UTC."""

    explanation_id: str
    subject_kind: SubjectKind
    subject_id: str
    trace_id: str | None
    created_at: str
    source: Literal["deterministic", "model"]
    model: str | None
    prompt_version: str
    summary: str
    root_causes: tuple[RootCause, ...]
    evidence: tuple[Fact, ...]
    recommendations: tuple[str, ...]
    confidence: float
    notice: str
    sentences: tuple[SentenceCheck, ...] = ()
    fallback_reason: str = ""
    propagation: Propagation | None = None
    past: tuple[PastIncident, ...] = ()
