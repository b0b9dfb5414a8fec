"""Everything that may leave, for own conversions: the prompt, what was said, what is right, and the verdict.

No reviewer's name and no comment. `gold` is null where an engineer said only that the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from datasets.export.row import Format, Judged, Message, Record, require_answer, require_roles


class RawRow(Record):
    example_id: str
    explanation_id: str
    verdict: Literal["right", "partly_right", "wrong"]
    is_adjudication: bool
    label_source: Literal["thumbs-up", "correction", "thumbs-down"]
    error_tags: list[str]
    explanation_source: str
    model: str | None
    prompt_version: str
    prompt: list[Message]
    said: str
    gold: str | None


def _build(judged: Judged) -> Sequence[RawRow]:
    example = judged.example
    return [
        RawRow(
            example_id=example.example_id,
            explanation_id=example.explanation_id,
            verdict=example.verdict,  # type: ignore[arg-type]  # one of three in the store
            is_adjudication=example.is_adjudication,
            label_source=judged.lesson.label_source,
            error_tags=list(example.error_tags),
            explanation_source=example.source,
            model=example.model,
            prompt_version=example.prompt_version,
            prompt=judged.prompt,
            said=judged.original,
            gold=judged.chosen or None,
        )
    ]


def _check(row: RawRow) -> None:
    require_roles(row.prompt, "system", "user")
    require_answer(row.said)
    if row.gold is not None:
        require_answer(row.gold)


FORMAT = Format("raw", "raw-1", RawRow, lambda _: "", _build, _check)
