"""TRL's conversational formats: supervised, preference and unpaired preference.

Source: TRL documentation, "Dataset formats and types".
"""

from __future__ import annotations

from collections.abc import Sequence

from datasets.export.gold import NO_CORRECTION
from datasets.export.row import (
    Format,
    Judged,
    Message,
    Record,
    needs_gold,
    require_answer,
    require_roles,
)

NOTHING_PREFERRED = "nothing was corrected: there is no answer to prefer it to"
HALF_RIGHT = "partly right: neither an example to follow nor one to avoid"


class SftRow(Record):
    messages: list[Message]


class DpoRow(Record):
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]


class KtoRow(Record):
    prompt: list[Message]
    completion: list[Message]
    label: bool


def preference(judged: Judged) -> str:
    """The reason why an example is no pair of a better and a worse answer; empty when it is one."""
    if not judged.chosen:
        return NO_CORRECTION
    return NOTHING_PREFERRED if judged.chosen == judged.original else ""


def said(content: str) -> list[Message]:
    return [Message(role="assistant", content=content)]


def _sft(judged: Judged) -> Sequence[SftRow]:
    return [SftRow(messages=[*judged.prompt, *said(judged.chosen)])]


def _dpo(judged: Judged) -> Sequence[DpoRow]:
    return [DpoRow(prompt=judged.prompt, chosen=said(judged.chosen), rejected=said(judged.original))]


def _is_avoided(judged: Judged) -> bool:
    return judged.example.verdict == "wrong" and judged.chosen != judged.original


def _neither(judged: Judged) -> str:
    return "" if judged.chosen or _is_avoided(judged) else HALF_RIGHT


def _kto(judged: Judged) -> Sequence[KtoRow]:
    """What is right, or was made right, is followed; what is wrong is avoided, what is half right neither."""
    rows: list[KtoRow] = []
    if judged.chosen:
        rows.append(KtoRow(prompt=judged.prompt, completion=said(judged.chosen), label=True))
    if _is_avoided(judged):
        rows.append(KtoRow(prompt=judged.prompt, completion=said(judged.original), label=False))
    return rows


def _check_sft(row: SftRow) -> None:
    require_roles(row.messages, "system", "user", "assistant")
    require_answer(row.messages[-1].content)


def _check_dpo(row: DpoRow) -> None:
    require_roles(row.prompt, "system", "user")
    for side in (row.chosen, row.rejected):
        require_roles(side, "assistant")
        require_answer(side[0].content)


def _check_kto(row: KtoRow) -> None:
    require_roles(row.prompt, "system", "user")
    require_roles(row.completion, "assistant")
    require_answer(row.completion[0].content)


SFT = Format("trl-sft", "trl-sft-1", SftRow, needs_gold, _sft, _check_sft)
DPO = Format("trl-dpo", "trl-dpo-1", DpoRow, preference, _dpo, _check_dpo)
KTO = Format("trl-kto", "trl-kto-1", KtoRow, _neither, _kto, _check_kto)
