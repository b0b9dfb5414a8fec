from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from datasets.errors import NothingToExport, OutputUnusable
from datasets.export.folder import validate_file, write_folder
from datasets.export.formats import FORMATS
from datasets.export.formats.trl import SFT as FORMAT
from datasets.export.labelled import InMemory
from datasets.export.select import Filters
from datasets.export.settings import Settings
from tests.datasets.support import labelled, named


@pytest.fixture
def export() -> InMemory:
    examples = [labelled(n, service=named(n)) for n in range(1, 60)]
    return InMemory([*examples, labelled(99, rating="down", verdict="wrong")])


def written(export: InMemory, folder: Path, settings: Settings) -> dict[str, object]:
    at = "2026-11-03T00:00:00.000000000Z"
    return write_folder(export, [FORMAT], folder, Filters(), settings, at)[FORMAT.name]


def test_files_and_manifest_agree(export: InMemory, tmp_path: Path, settings: Settings) -> None:
    """Counts, sizes and hashes of the manifest are those of the files; provenance has a line for each row."""
    folder = tmp_path / "new" / "out"
    written(export, folder, settings)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    lines = {
        split: (folder / f"{split}.jsonl").read_text().splitlines()
        for split in ("train", "validation", "test")
    }
    assert {split: len(found) for split, found in lines.items()} == {
        split: manifest["counts"][split] for split in lines
    }
    origins = json.loads((folder / "provenance.json").read_text())
    assert len(origins) == manifest["rows"] == 59
    assert manifest["reject_counts"] == {"thumbs-down without a correction": 1}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out"]


def test_only_the_time_differs(export: InMemory, tmp_path: Path, settings: Settings) -> None:
    """The same input gives the same bytes, manifest included; the time stands in a file of its own."""
    for name, created_at in (("one", "2026-11-03T00:00:00Z"), ("two", "2026-12-24T00:00:00Z")):
        write_folder(export, list(FORMATS.values()), tmp_path / name, Filters(), settings, created_at)
    one, two = (
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert len(one) > 50
    differing = {name for name in one if one[name] != two[name]}
    assert differing == {f"{name}/created.json" for name in FORMATS}


def test_rows_hold_messages_only(export: InMemory, tmp_path: Path, settings: Settings) -> None:
    """Each line is one JSON object with `messages` and nothing else, the answer last."""
    written(export, tmp_path / "out", settings)
    for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert set(row) == {"messages"}
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert set(json.loads(row["messages"][-1]["content"])) == {
            "summary",
            "root_causes",
            "recommendations",
        }


def test_nothing(tmp_path: Path, settings: Settings) -> None:
    """Without a row nothing is written, and the error says what to do."""
    with pytest.raises(NothingToExport, match="no explanation has been rated yet"):
        written(InMemory([]), tmp_path / "out", settings)
    only_down = InMemory([labelled(rating="down", verdict="wrong")])
    with pytest.raises(NothingToExport, match="1 × thumbs-down without a correction"):
        written(only_down, tmp_path / "out", settings)
    assert list(tmp_path.iterdir()) == []


def test_folder_in_use(export: InMemory, tmp_path: Path, settings: Settings) -> None:
    """A folder with anything in it is left alone; an empty one is used."""
    written(export, tmp_path, settings)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputUnusable, match="not an empty folder"):
        written(export, tmp_path, settings)
    assert sorted(tmp_path.iterdir()) == before


def test_file_in_the_way(export: InMemory, tmp_path: Path, settings: Settings) -> None:
    """A file in the place of the folder, or of its parent, is a clear error."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputUnusable, match="--out DIR"):
            written(export, folder, settings)


@pytest.mark.parametrize(
    "line",
    ['{"messages": []}', "{", '{"messages": [], "label": 1}',
     '{"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"},'
     ' {"role": "assistant", "content": "not an answer"}]}'],
)  # fmt: skip
def test_validation_finds(line: str, tmp_path: Path) -> None:
    """The check after writing finds a row that is none, and names its line."""
    path = tmp_path / "train.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(OutputUnusable, match=r"line 1 of train\.jsonl"):
        validate_file(path, FORMAT)
