"""The explainer: subject → stored explanation. Code explains; a model, where configured, narrates."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.analysis.evidence import gather
from llm.analysis.propagation import propagation
from llm.analysis.subject import load_case, require_subject, subject_basis, subject_size
from llm.checks.grounding import ground
from llm.checks.streamed import StreamedAnswer
from llm.deterministic import explain
from llm.errors import FallbackReason, ModelFailed
from llm.explanation import (
    Draft,
    Evidence,
    Explanation,
    PastIncident,
    Propagation,
    SentenceCheck,
    Subject,
)
from llm.narration.context import PROMPT_VERSION, build_context, render_messages
from llm.reviews.past import advice, context_structure, past_incidents
from llm.settings import Settings

if TYPE_CHECKING:
    from llm.narration.model import Model

_SUBJECT_LOCKS = 64  # by hash: two subjects rarely share one, and none is ever forgotten
# An incident is explained anew when its anomalies have grown by this much: by code in 30 ms, so that the text
# keeps up with the incident's severity and extent; by a model rarely, since each answer costs.
GROWN_FACTOR_CODE = 1.25
GROWN_FACTOR_MODEL = 2.0
# A model that failed is asked again, but not at every look: a dead endpoint costs its deadline (45 s).
ASK_AGAIN_AFTER_NS = 60 * 1_000_000_000


@dataclass(frozen=True)
class _Text:
    draft: Draft
    source: str
    notice: str
    checks: tuple[SentenceCheck, ...] = ()
    fallback_reason: FallbackReason = ""


class Explainer:
    """Explains subjects and keeps what it said. Safe in any thread, one at a time for each subject."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock_ns = clock_ns
        self._new_id = new_id
        self._model = _open_model(settings)
        self._locks = [threading.Lock() for _ in range(_SUBJECT_LOCKS)]

    def analyse(
        self, subject: Subject, *, refresh: bool = False, on_line: Callable[[str], None] | None = None
    ) -> Explanation:
        """The explanation of `subject`: the stored one, unless `refresh` or the subject has outgrown it.

        Args:
            on_line: told each sentence of a model's answer that may be shown, while others are written.
                What is returned may begin with code's sentence about the cause, or hold none of these.

        One that somebody rated is only replaced by `refresh`: a rating must stay beside the words it rates.

        Raises:
            NotFound: no such subject.
        """
        with self._locks[hash(subject) % len(self._locks)]:
            return self._analyse(subject, refresh=refresh, on_line=on_line)

    def require(self, subject: Subject) -> None:
        """Raises NotFound when nothing is stored under the subject's id."""
        require_subject(self._store, subject)

    def _analyse(
        self, subject: Subject, *, refresh: bool, on_line: Callable[[str], None] | None
    ) -> Explanation:
        stored = None if refresh else self._newest(subject)
        if stored is not None and (stored["rated"] or not self._outgrown(stored, subject)):
            return _explanation(stored)
        basis = subject_basis(self._store, subject)  # before the case: what changes meanwhile makes it anew
        case = load_case(self._store, subject)
        evidence = gather(case)
        draft = explain(evidence)
        context = build_context(evidence, draft, self._settings.llm_context_tokens)
        text = self._narrate(evidence, draft, context, on_line)
        beside = self._beside(evidence, draft, context, propagation(case, evidence, draft))
        return self._keep(evidence, text, context, basis, beside)

    def _beside(
        self, evidence: Evidence, draft: Draft, context: dict[str, object], way: Propagation
    ) -> dict[str, str]:
        """What is kept beside the text, as columns of `explanation_context`."""
        fingerprint = context_structure(context)
        past = past_incidents(self._store, evidence.group_id, fingerprint, draft.summary, iso_utc)
        return {
            "fingerprint": fingerprint,
            "propagation": way.model_dump_json(),
            "past": _json([incident.model_dump() for incident in past]),
        }

    def _narrate(
        self,
        evidence: Evidence,
        draft: Draft,
        context: dict[str, object],
        on_line: Callable[[str], None] | None,
    ) -> _Text:
        if self._model is None or not draft.root_causes:
            return _Text(draft, "deterministic", "")
        try:
            listener = StreamedAnswer(evidence, draft, on_line) if on_line else None
            answer = self._model.ask(render_messages(context), listener)
        except ModelFailed as error:
            notice = f"This is the text of code: {error.message}."
            return _Text(draft, "deterministic", notice, fallback_reason=error.reason)
        grounded = ground(answer, evidence, draft)
        left_out = "; ".join(grounded.dropped)
        if grounded.draft is None:
            notice = f"This is the text of code; the model's was not used: {left_out}."
            return _Text(draft, "deterministic", notice, grounded.checks, "not_borne_out")
        notice = f"Of the model's answer: {left_out}." if left_out else ""
        return _Text(grounded.draft, "model", notice, grounded.checks)

    def _outgrown(self, stored: dict[str, Any], subject: Subject) -> bool:
        if self._model is not None and stored["model"] != self._model.name and stored["root_causes"] != "[]":
            return True  # explained before this model was configured
        if stored["basis"] != subject_basis(self._store, subject):
            return True
        failed_ago_ns = self._clock_ns() - stored["created_at"]
        if stored["fallback_reason"] not in ("", "not_borne_out") and failed_ago_ns >= ASK_AGAIN_AFTER_NS:
            return self._model is not None
        grown = GROWN_FACTOR_CODE if self._model is None else GROWN_FACTOR_MODEL
        factor = grown if subject.kind == "incident" else 1
        size, was = subject_size(self._store, subject), int(stored["subject_size"])
        return size > was and size >= factor * was

    def _newest(self, subject: Subject) -> dict[str, Any] | None:
        sql = load_sql("llm.queries", "explanation")
        rows = self._store.read(sql, {"kind": subject.kind, "id": subject.id}).to_pylist()
        return rows[0] if rows else None

    def _keep(
        self,
        evidence: Evidence,
        text: _Text,
        context: dict[str, object],
        basis: str,
        beside: dict[str, str],
    ) -> Explanation:
        draft = text.draft
        row: dict[str, Any] = {
            "explanation_id": self._new_id(),
            "subject_kind": evidence.subject.kind,
            "subject_id": evidence.subject.id,
            "subject_size": evidence.subject_size,
            "group_id": evidence.group_id,
            "trace_id": evidence.trace_id,
            "created_unix_nano": self._clock_ns(),
            "source": text.source,
            "model": self._model.name if self._model else None,
            "prompt_version": PROMPT_VERSION,
            "summary": draft.summary,
            "root_causes": _json([cause.model_dump() for cause in draft.root_causes]),
            "evidence": _json([fact.model_dump() for fact in evidence.facts]),
            "recommendations": _json(draft.recommendations),
            "confidence": draft.confidence,
            "notice": text.notice,
            "context": _json(context),
        }
        checks = {
            "explanation_id": row["explanation_id"],
            "basis": basis,
            "fallback_reason": text.fallback_reason,
            "sentences": _json([check.model_dump() for check in text.checks]),
        }
        with self._store.transaction() as connection:
            connection.execute(load_sql("llm.queries", "insert_explanation"), row)
            connection.execute(load_sql("llm.queries", "insert_checks"), checks)
            connection.execute(
                load_sql("llm.queries", "insert_context"), {"explanation_id": row["explanation_id"], **beside}
            )
        return _explanation(row | checks | beside | {"created_at": row["created_unix_nano"]})


def _open_model(settings: Settings) -> Model | None:
    if not settings.model_configured:
        return None
    from llm.narration.model import Model  # noqa: PLC0415 - the client library is 0.3 s of a start that may not need it

    return Model(settings)


def iso_utc(unix_nano: int) -> str:
    """ISO-8601 in UTC with nanoseconds, e.g. `2026-11-03T12:00:00.123456789Z`."""
    seconds, nanos = divmod(unix_nano, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def _explanation(row: dict[str, Any]) -> Explanation:
    past = tuple(PastIncident.model_validate(each) for each in json.loads(row["past"]))
    return Explanation(
        explanation_id=row["explanation_id"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        trace_id=row["trace_id"],
        created_at=iso_utc(row["created_at"]),
        source=row["source"],
        model=row["model"],
        prompt_version=row["prompt_version"],
        summary=row["summary"],
        root_causes=json.loads(row["root_causes"]),
        evidence=json.loads(row["evidence"]),
        # What engineers said earlier is added when it is shown: no model learns it as a finding.
        recommendations=(*json.loads(row["recommendations"]), *filter(None, map(advice, past))),
        confidence=row["confidence"],
        notice=row["notice"],
        sentences=[check | {"written": ""} for check in json.loads(row["sentences"])],
        fallback_reason=row["fallback_reason"],
        propagation=json.loads(row["propagation"]) if row["propagation"] else None,
        past=past,
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
