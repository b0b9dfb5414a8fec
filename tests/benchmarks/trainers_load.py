"""Third parties load what is exported: Hugging Face `datasets` every format, TRL the conversations.

uv run python tests/benchmarks/trainers_load.py PYTHON [--json]

PYTHON is one that has `datasets` and `trl`: their packages collide with ours, so they run in it. It exits
with 1 when a format is not read as it was written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets.export.folder import write_folder
from datasets.export.formats import FORMATS, formats_named
from datasets.export.labelled import InMemory
from datasets.export.select import Filters
from datasets.export.settings import Settings
from tests.datasets.support import labelled, named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = load_all(given.python, Path(folder))
    print(json.dumps(told) if given.json else "\n".join(f"{name}: {row}" for name, row in told.items()))


def load_all(python: str, folder: Path) -> dict[str, Any]:
    examples = [labelled(n, service=named(n)) for n in range(1, 60)]
    for n in range(60, 200):
        correction = {
            "root_service": "bank",
            "summary": f"SELECT carts in {named(n)} took {100 + n} ms [E1].",
        }
        examples.append(labelled(n, service=named(n), rating="down", verdict="wrong", correction=correction))
    out = folder / "out"
    manifests = write_folder(InMemory(examples), formats_named("all"), out, Filters(), Settings(), "now")
    script = Path(__file__).parent / "trainers.py"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [python, str(script), str(out)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    if ran.returncode:
        sys.exit(ran.stderr[-3000:])
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])["folders"]
    assert set(told) == set(FORMATS)
    for name, found in told.items():
        counts = manifests[name]["counts"]
        assert found["splits"] == {split: counts[split] for split in ("train", "validation", "test")}
    assert all(told[name]["conversational"] for name in ("trl-sft", "trl-dpo", "trl-kto"))
    assert told["trl-dpo"]["texts"] == ["chosen", "prompt", "rejected"]
    assert told["trl-kto"]["texts"] == ["completion", "label", "prompt"]
    return told


if __name__ == "__main__":
    main()
