"""A verdict → the answer a model should have given, the one it must not give, or why neither is known.

A thumbs-up makes the explanation gold. A correction makes the corrected answer gold; a field that the
engineer left alone counts as read and accepted, except where it contradicts what they changed. A
thumbs-down alone says that the answer is wrong, not what is right. A model's text that nobody reviewed is
never gold, since without a verdict there is no row at all.

A summary is taught only as far as a model's would be shown. A sentence that the facts of its prompt do not
support is replaced by code's own or dropped (`llm/checks/grounding.py`); the manifest counts these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from datasets.export.labelled import Head, Labelled
from llm.checks.grounding import check_summary, plain_text
from llm.explanation import Draft, Evidence, Fact, RootCause, SentenceCheck, Subject
from llm.narration.answer import Answer, AnsweredCause
from llm.redaction.redact import redact_again, redact_name

SUMMARY_LIMIT_CHARS = 4000
STATEMENT_LIMIT_CHARS = 900
NO_CORRECTION = "thumbs-down without a correction"
LabelSource = Literal["thumbs-up", "correction"]
_ID = re.compile(r"E\d+")
_CITATION = re.compile(r"\s*\[\s*(E\d+(?:\s*[,;]\s*E\d+)*)\s*\]")


@dataclass(frozen=True)
class Gold:
    """`answer` is the right answer; `original` is the actual one, cleaned but with its errors."""

    example: Labelled
    label_source: LabelSource
    answer: Answer
    original: Answer
    checks: tuple[SentenceCheck, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """An answer that an engineer calls wrong without saying what is right."""

    example: Labelled
    original: Answer


@dataclass(frozen=True)
class Reject:
    example_id: str
    reason: str


def choose(verdicts: Iterable[Head]) -> tuple[Head | None, list[Reject]]:
    """The verdict on one explanation that counts, and why each other one does not.

    An adjudication; else the newest correction; else the newest verdict, if all agree.
    """
    newest_first = sorted(verdicts, key=lambda v: (-v.updated_unix_nano, v.example_id))
    chosen = _chosen(newest_first)
    return chosen, [Reject(v.example_id, _reason(v, chosen)) for v in newest_first if v is not chosen]


def judge(example: Labelled) -> Gold | Wrong | Reject:
    """What a chosen verdict teaches."""
    original = _original(example)
    if example.rating == "down" and not example.correction:
        return Wrong(example, original)
    answer = gold_answer(example, original)
    checks = _check(example, answer)
    grounded = " ".join(check.shown for check in checks if check.shown) or _of_cause(answer)
    if grounded:
        source: LabelSource = "correction" if example.correction else "thumbs-up"
        return Gold(example, source, answer.model_copy(update={"summary": grounded}), original, checks)
    if answer.summary:
        return Reject(example.example_id, "no sentence of the summary is borne out by a fact it cites")
    return Reject(example.example_id, "nothing is left of the answer after cleaning")


def gold_answer(example: Labelled, original: Answer | None = None) -> Answer:
    """The answer in the form that a model is asked for, redacted, citing only facts of its own prompt."""
    original = original or _original(example)
    corrected = example.correction
    if not corrected:
        return original
    known = _known(example)
    summary, causes, recommendations = original.summary, original.root_causes, original.recommendations
    if corrected.get("root_service"):
        cause = _corrected_cause(example, known)
        if not causes or (cause.service, cause.operation) != (causes[0].service, causes[0].operation):
            # Statements about the wrong cause, and advice because of it, are dropped with it.
            summary, recommendations = _sentence(cause), []
        causes = [cause]
    if corrected.get("summary"):
        summary = plain_text(redact_again(corrected["summary"], SUMMARY_LIMIT_CHARS))
    if corrected.get("recommendations"):
        recommendations = [plain_text(redact_again(line)) for line in corrected["recommendations"]]
    return Answer(
        summary=_known_citations(summary, known), root_causes=causes, recommendations=recommendations
    )


def _original(example: Labelled) -> Answer:
    known = _known(example)
    return Answer(
        summary=_known_citations(redact_again(example.summary, SUMMARY_LIMIT_CHARS), known),
        root_causes=[_cause(cause, known) for cause in example.root_causes],
        recommendations=[redact_again(line) for line in example.recommendations],
    )


def _known(example: Labelled) -> set[str]:
    return {str(fact["id"]) for fact in example.context.get("facts", ())}


def _of_cause(answer: Answer) -> str:
    """Code's sentence about the first cause, if no summary is supported; empty without a fact."""
    first = answer.root_causes[0] if answer.summary and answer.root_causes else None
    return _sentence(first) if first is not None and first.evidence_ids else ""


def _check(example: Labelled, answer: Answer) -> tuple[SentenceCheck, ...]:
    """Each sentence of the answer against the facts of its own prompt."""
    stored = {fact["evidence_id"]: fact for fact in example.evidence}
    facts = [
        Fact.model_validate(
            stored.get(fact["id"])
            or {"evidence_id": fact["id"], "trace_id": "", "span_id": ""}
            | {name: fact[name] for name in ("service", "operation", "kind", "statement")}
        )
        for fact in example.context.get("facts", ())
    ]
    known = {fact.evidence_id for fact in facts}
    causes = [
        RootCause(
            rank=rank, service=cause.service, operation=cause.operation, statement=cause.statement,
            confidence=1.0, evidence=tuple(i for i in cause.evidence_ids if i in known),
        )
        for rank, cause in enumerate(answer.root_causes, start=1)
    ]  # fmt: skip
    window = tuple(example.context.get("window") or ())
    evidence = Evidence(
        subject=Subject(kind="trace", id=example.subject_id), group_id=example.group_id, subject_size=0,
        trace_id=None, headline="", facts=tuple(facts), causes=(),
        symptom=facts[0].evidence_id if facts else "",
        window=(window[0], window[1]) if len(window) == 2 else None,
    )  # fmt: skip
    draft = Draft(summary="", root_causes=tuple(causes), recommendations=(), confidence=1.0)
    return check_summary(answer.summary, evidence, draft, takes_own_words=True)


def _chosen(newest_first: list[Head]) -> Head | None:
    decided = [verdict for verdict in newest_first if verdict.is_adjudication]
    if decided:
        return decided[0]
    corrections = [verdict for verdict in newest_first if verdict.is_corrected]
    if corrections:
        return corrections[0]
    return newest_first[0] if len({verdict.rating for verdict in newest_first}) == 1 else None


def _reason(verdict: Head, chosen: Head | None) -> str:
    if chosen is not None and chosen.is_adjudication:
        return "decided by an adjudication"
    if verdict.is_corrected:
        return "superseded by a newer correction"
    if chosen is not None and chosen.rating == verdict.rating and not chosen.is_corrected:
        return f"another thumbs-{verdict.rating} of the same explanation"
    return NO_CORRECTION if verdict.rating == "down" else "raters disagree"


def _cause(cause: Mapping[str, Any], known: set[str]) -> AnsweredCause:
    return AnsweredCause(
        service=redact_name(cause["service"]),
        operation=redact_name(cause["operation"]),
        statement=redact_again(cause["statement"], STATEMENT_LIMIT_CHARS),
        evidence_ids=[evidence_id for evidence_id in cause["evidence"] if evidence_id in known],
    )


def _corrected_cause(example: Labelled, known: set[str]) -> AnsweredCause:
    """The engineer's cause, with the facts of its place and, where code had it too, code's statement."""
    service = redact_name(plain_text(example.correction["root_service"]))
    operation = redact_name(plain_text(example.correction.get("root_operation") or ""))
    facts = [
        fact
        for fact in example.context.get("facts", ())
        if fact["service"] == service and operation in ("", fact["operation"]) and fact["id"] in known
    ]
    for cause in example.root_causes:
        stated = _cause(cause, known)
        if stated.service == service and operation in ("", stated.operation):
            return stated
    facts.sort(key=lambda fact: fact["kind"] not in ("self_time", "error", "message_wait", "amount"))
    if facts:
        statement = redact_again(facts[0]["statement"], STATEMENT_LIMIT_CHARS)
    else:
        statement = f"The cause lies in {f'{operation} in ' if operation else ''}{service}"
    return AnsweredCause(
        service=service,
        operation=operation or (facts[0]["operation"] if facts else ""),
        statement=statement,
        evidence_ids=[fact["id"] for fact in facts],
    )


def _sentence(cause: AnsweredCause) -> str:
    cited = f" [{cause.evidence_ids[0]}]" if cause.evidence_ids else ""
    return f"{cause.statement}{cited}."


def _known_citations(text: str, known: set[str]) -> str:
    """`text` without citations of facts that its prompt does not contain."""

    def keep(match: re.Match[str]) -> str:
        ids = [i for i in _ID.findall(match.group(1)) if i in known]
        return f" [{', '.join(ids)}]" if ids else ""

    return _CITATION.sub(keep, text).strip()
