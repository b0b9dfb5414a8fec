from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.export.build import build_exports
from datasets.export.folder import validate_file, write_folder
from datasets.export.formats import FORMATS, formats_named
from datasets.export.labelled import InMemory, Labelled
from datasets.export.select import Filters
from datasets.export.settings import Settings
from llm.narration.context import render_messages
from tests.datasets.support import labelled, named

CORRECTED = {"root_service": "bank", "root_operation": "pay"}


def rows_of(example: Labelled, name: str) -> list[dict[str, Any]]:
    export = build_exports(InMemory([example]), [FORMATS[name]], Settings())[name]
    return [json.loads(row.text) for row in export.rows]


def wrong(**given: Any) -> Labelled:
    return labelled(rating="down", verdict="wrong", **given)


PROMPT = render_messages(labelled().context, "v1")


def test_each_format_of_a_correction() -> None:
    """A correction is the target of every format, and what was said before the side to avoid."""
    example = wrong(correction={**CORRECTED, "summary": "SELECT carts in checkout took 101 ms [E1]."})
    said, true = (
        build_exports(InMemory([e]), [FORMATS["trl-sft"]], Settings())["trl-sft"]
        for e in (labelled(), example)
    )
    was, now = (json.loads(export.rows[0].text)["messages"][-1] for export in (said, true))
    assert '"service":"checkout"' in was["content"]
    assert '"service":"bank"' in now["content"]
    system, user = (message["content"] for message in PROMPT)
    assert {name: rows_of(example, name) for name in FORMATS if name not in ("raw", "openai-rft")} == {
        "openai-sft": [{"messages": [*PROMPT, now]}],
        "openai-dpo": [{"input": {"messages": PROMPT}, "preferred_output": [now],
                        "non_preferred_output": [was]}],
        "trl-sft": [{"messages": [*PROMPT, now]}],
        "trl-dpo": [{"prompt": PROMPT, "chosen": [now], "rejected": [was]}],
        "trl-kto": [{"prompt": PROMPT, "completion": [now], "label": True},
                    {"prompt": PROMPT, "completion": [was], "label": False}],
        "sharegpt": [{"conversations": [{"from": "human", "value": user},
                                        {"from": "gpt", "value": now["content"]}], "system": system}],
        "alpaca": [{"instruction": user, "input": "", "output": now["content"], "system": system}],
    }  # fmt: skip
    (rft,) = rows_of(example, "openai-rft")
    assert rft["messages"] == PROMPT
    assert (rft["root_service"], rft["root_operation"]) == ("bank", "pay")
    assert rft["reference_answer"] == now["content"]
    (raw,) = rows_of(example, "raw")
    assert (raw["verdict"], raw["label_source"], raw["said"], raw["gold"]) == (
        "wrong", "correction", was["content"], now["content"],
    )  # fmt: skip
    assert "ann" not in json.dumps(raw)


@pytest.mark.parametrize(
    ("example", "rows"),
    [(labelled(), {"trl-sft": 1, "trl-dpo": 0, "trl-kto": 1, "raw": 1, "openai-dpo": 0}),
     (wrong(), {"trl-sft": 0, "trl-dpo": 0, "trl-kto": 1, "raw": 1, "openai-rft": 0}),
     (labelled(rating="down", verdict="partly_right"),
      {"trl-sft": 0, "trl-kto": 0, "raw": 1, "sharegpt": 0})],
)  # fmt: skip
def test_what_a_verdict_alone_teaches(example: Labelled, rows: dict[str, int]) -> None:
    """Right is followed, wrong is avoided, half right is neither; without a correction there is no pair."""
    assert {name: len(rows_of(example, name)) for name in rows} == rows
    labels = [row["label"] for row in rows_of(example, "trl-kto")]
    assert labels == ([example.verdict == "right"] if labels else [])


def test_all_formats_at_once(tmp_path: Path) -> None:
    """`all` writes a folder a format, each with valid rows, a card that names the splits, a manifest."""
    examples = [labelled(n, service=named(n)) for n in range(1, 60)]
    for n in range(60, 200):
        summary = f"SELECT carts in {named(n)} took {100 + n} ms [E1]."
        examples.append(wrong(number=n, service=named(n), correction=CORRECTED | {"summary": summary}))
    source = InMemory(examples)
    manifests = write_folder(source, formats_named("all"), tmp_path / "out", Filters(), Settings(), "now")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FORMATS) == set(manifests)
    for name, manifest in manifests.items():
        folder = tmp_path / "out" / name
        counts = {split: manifest["counts"][split] for split in ("train", "validation", "test")}
        assert all(counts.values())
        for split, count in counts.items():
            assert validate_file(folder / f"{split}.jsonl", FORMATS[name]) == count
            assert f"path: {split}.jsonl" in (folder / "README.md").read_text()
        tokens = manifest["token_estimates"]
        assert 0 < tokens["min"] <= tokens["p50"] <= tokens["p99"] <= tokens["max"]
    info = json.loads((tmp_path / "out" / "sharegpt" / "dataset_info.json").read_text())
    assert info["spyhop_train"]["file_name"] == "train.jsonl"


def test_what_a_trainer_would_refuse_is_said(tmp_path: Path) -> None:
    """Too few rows for a job, and no validation rows where a job needs them, are warnings of the manifest."""
    formats = formats_named("openai-rft,trl-kto")
    manifests = write_folder(
        InMemory([labelled()]), formats, tmp_path, Filters(), Settings(), "now", dry_run=True
    )
    assert manifests["openai-rft"]["warnings"] == [
        "1 training rows: a job needs at least 10", "no validation rows: a job needs some",
    ]  # fmt: skip
    assert "all verdicts are the same" in manifests["trl-kto"]["warnings"][0]
    assert list(tmp_path.iterdir()) == []  # a dry run leaves nothing
