"""ShareGPT, as LLaMA-Factory reads it: turns of `human` and `gpt`, in turn, the system text apart.

Source: LLaMA-Factory, `data/README.md`, with the entry of `dataset_info.json` that it wants beside the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from datasets.export.row import Format, Judged, Record, Split, needs_gold, require_answer


class Turn(Record):
    speaker: Literal["human", "gpt"] = msgspec.field(name="from")
    value: str


class ShareGptRow(Record):
    conversations: list[Turn]
    system: str


def _build(judged: Judged) -> Sequence[ShareGptRow]:
    turns = [Turn(speaker="human", value=judged.user), Turn(speaker="gpt", value=judged.chosen)]
    return [ShareGptRow(conversations=turns, system=judged.system)]


def _check(row: ShareGptRow) -> None:
    if [turn.speaker for turn in row.conversations] != ["human", "gpt"]:
        raise ValueError("conversations must be human, gpt")
    require_answer(row.conversations[-1].value)


def _files(splits: Sequence[Split]) -> Mapping[str, str]:
    entries = {
        f"spyhop_{split}": {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "system": "system"},
        }
        for split in splits
    }
    return {"dataset_info.json": json.dumps(entries, indent=2) + "\n"}


FORMAT = Format("sharegpt", "sharegpt-1", ShareGptRow, needs_gold, _build, _check, _files)
