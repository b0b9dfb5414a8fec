"""Third parties load what is exported. Their packages collide with ours, so they run elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from datasets.export.folder import write_folder
from datasets.export.formats import FORMATS, formats_named
from datasets.export.labelled import InMemory
from datasets.export.select import Filters
from datasets.export.settings import Settings
from tests.datasets.support import labelled, named

PYTHON = os.environ.get("SPYHOP_TEST_TRAINERS_PYTHON", "")
WHY = "SPYHOP_TEST_TRAINERS_PYTHON names no Python that has Hugging Face datasets and trl"


@pytest.mark.skipif(not PYTHON, reason=WHY)
def test_hugging_face_loads_every_format(tmp_path: Path) -> None:
    """`datasets` finds the splits and rows of each folder by its card; TRL sees conversations."""
    examples = [labelled(n, service=named(n)) for n in range(1, 60)]
    for n in range(60, 200):
        correction = {
            "root_service": "bank",
            "summary": f"SELECT carts in {named(n)} took {100 + n} ms [E1].",
        }
        examples.append(labelled(n, service=named(n), rating="down", verdict="wrong", correction=correction))
    out = tmp_path / "out"
    manifests = write_folder(InMemory(examples), formats_named("all"), out, Filters(), Settings(), "now")
    script = Path(__file__).parent / "trainers.py"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [PYTHON, str(script), str(out)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])["folders"]
    assert set(told) == set(FORMATS)
    for name, found in told.items():
        counts = manifests[name]["counts"]
        assert found["splits"] == {split: counts[split] for split in ("train", "validation", "test")}
    assert all(told[name]["conversational"] for name in ("trl-sft", "trl-dpo", "trl-kto"))
    assert told["trl-dpo"]["texts"] == ["chosen", "prompt", "rejected"]
    assert told["trl-kto"]["texts"] == ["completion", "label", "prompt"]
