"""OpenAI's fine-tuning formats, which Azure, Together and Fireworks take too: SFT, DPO, RFT.

Source: OpenAI API reference, "Fine-tuning", chat, preference and reinforcement input objects. Of the last
only `messages` and `tools` are reserved; a grader reads the other fields as `{{ item.root_service }}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from datasets.export.formats.trl import preference, said
from datasets.export.row import (
    Format,
    Judged,
    Message,
    Record,
    needs_gold,
    require_answer,
    require_roles,
)

MIN_ROWS = 10  # fewer are refused when a job is made


class SftRow(Record):
    messages: list[Message]


class DpoInput(Record):
    messages: list[Message]


class DpoRow(Record):
    input: DpoInput
    preferred_output: list[Message]
    non_preferred_output: list[Message]


class RftRow(Record):
    """`reference_answer` is the whole answer as JSON text; the others are what a grader compares first."""

    messages: list[Message]
    reference_answer: str
    root_service: str
    root_operation: str
    evidence_ids: list[str]


def _sft(judged: Judged) -> Sequence[SftRow]:
    return [SftRow(messages=[*judged.prompt, *said(judged.chosen)])]


def _dpo(judged: Judged) -> Sequence[DpoRow]:
    return [
        DpoRow(
            input=DpoInput(messages=judged.prompt),
            preferred_output=said(judged.chosen),
            non_preferred_output=said(judged.original),
        )
    ]


def _rft(judged: Judged) -> Sequence[RftRow]:
    service, operation = judged.lesson.cause
    return [
        RftRow(
            messages=judged.prompt,
            reference_answer=judged.chosen,
            root_service=service,
            root_operation=operation,
            evidence_ids=list(judged.lesson.evidence_ids),
        )
    ]


def _check_sft(row: SftRow) -> None:
    require_roles(row.messages, "system", "user", "assistant")
    require_answer(row.messages[-1].content)


def _check_dpo(row: DpoRow) -> None:
    require_roles(row.input.messages, "system", "user")
    for side in (row.preferred_output, row.non_preferred_output):
        require_roles(side, "assistant")
        require_answer(side[0].content)


def _check_rft(row: RftRow) -> None:
    require_roles(row.messages, "system", "user")
    require_answer(row.reference_answer)


SFT = Format("openai-sft", "openai-sft-1", SftRow, needs_gold, _sft, _check_sft, min_rows=MIN_ROWS)
DPO = Format("openai-dpo", "openai-dpo-1", DpoRow, preference, _dpo, _check_dpo, min_rows=MIN_ROWS)
RFT = Format(
    "openai-rft",
    "openai-rft-1",
    RftRow,
    needs_gold,
    _rft,
    _check_rft,
    min_rows=MIN_ROWS,
    needs_validation=True,
)
