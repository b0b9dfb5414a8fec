"""Runs in an environment of its own, which has Hugging Face `datasets` and `trl`: loads each exported folder.

python trainers.py FOLDER    # of `spyhop export --format all`; prints a JSON object
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import trl

import datasets

TEMPLATE_ROLES = ("system", "user", "assistant")


def load(folder: Path) -> dict[str, Any]:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(folder / ".cache"))
    first = loaded["train"][0]
    told: dict[str, Any] = {
        "splits": {name: len(rows) for name, rows in loaded.items()},
        "columns": sorted(loaded["train"].column_names),
    }
    if folder.name.startswith("trl-"):
        told["conversational"] = trl.data_utils.is_conversational(first)
        told["texts"] = sorted(trl.data_utils.apply_chat_template(first, Tokenizer()))
    return told


class Tokenizer:
    """The least of a tokeniser that TRL's chat templates need: roles and texts, joined."""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        assert all(message["role"] in TEMPLATE_ROLES for message in messages)
        return "".join(f"<{message['role']}>{message['content']}" for message in messages)


if __name__ == "__main__":
    folders = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir())
    versions = {"datasets": datasets.__version__, "trl": trl.__version__}
    print(json.dumps({"versions": versions, "folders": {path.name: load(path) for path in folders}}))
