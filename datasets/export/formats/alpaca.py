"""Alpaca, as LLaMA-Factory reads it: instruction, input, output and the system text.

Source: LLaMA-Factory, `data/README.md`. It joins instruction and input by a line break; the whole prompt is
the instruction, so that it stays the live one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from datasets.export.row import Format, Judged, Record, Split, needs_gold, require_answer


class AlpacaRow(Record):
    instruction: str
    input: str
    output: str
    system: str


def _build(judged: Judged) -> Sequence[AlpacaRow]:
    return [AlpacaRow(instruction=judged.user, input="", output=judged.chosen, system=judged.system)]


def _check(row: AlpacaRow) -> None:
    if not row.instruction:
        raise ValueError("the instruction is empty")
    require_answer(row.output)


def _files(splits: Sequence[Split]) -> Mapping[str, str]:
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    entries = {f"spyhop_{split}": {"file_name": f"{split}.jsonl", "columns": columns} for split in splits}
    return {"dataset_info.json": json.dumps(entries, indent=2) + "\n"}


FORMAT = Format("alpaca", "alpaca-1", AlpacaRow, needs_gold, _build, _check, _files)
