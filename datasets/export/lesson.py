"""What a verdict teaches, in the texts that rows hold: small enough to come from another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.export.fingerprint import content_hash
from datasets.export.gold import Gold, Reject, judge
from datasets.export.labelled import Labelled


@dataclass(frozen=True, slots=True)
class Lesson:
    """`chosen` is the right answer, empty if it is not known; `original` is the actual one.

    `cause` is (service, operation) of the first right cause, which rests on `evidence_ids`; `sentences` are
    the verdicts on those of the right summary. `content_hash` ignores ids and figures: rows that share it
    teach the same, whatever their format.
    """

    label_source: Literal["thumbs-up", "correction", "thumbs-down"]
    chosen: str
    original: str
    cause: tuple[str, str]
    evidence_ids: tuple[str, ...]
    sentences: tuple[str, ...]
    content_hash: bytes


def lesson_of(example: Labelled) -> Lesson | Reject:
    """The same for the same example, in whichever process."""
    verdict = judge(example)
    if isinstance(verdict, Reject):
        return verdict
    gold = verdict if isinstance(verdict, Gold) else None
    original = verdict.original.model_dump_json()
    chosen = gold.answer.model_dump_json() if gold else ""
    first = gold.answer.root_causes[0] if gold and gold.answer.root_causes else None
    return Lesson(
        label_source=gold.label_source if gold else "thumbs-down",
        chosen=chosen,
        original=original,
        cause=(first.service, first.operation) if first else ("", ""),
        evidence_ids=tuple(first.evidence_ids) if first else (),
        sentences=tuple(check.verdict for check in gold.checks) if gold else (),
        content_hash=_content_hash(example, chosen, original),
    )


def lessons_of(examples: Sequence[Labelled]) -> list[Lesson | Reject]:
    """Of a page."""
    return [lesson_of(example) for example in examples]


def _content_hash(example: Labelled, chosen: str, original: str) -> bytes:
    statements = (str(fact.get("statement", "")) for fact in example.context.get("facts", ()))
    structure = f"{example.verdict}|{example.prompt_version}|{sorted(example.context)}"
    return content_hash((structure, *statements, chosen, original))
