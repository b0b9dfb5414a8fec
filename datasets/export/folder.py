"""An export on disk: all of its files or none, read again and validated before they take their place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datasets.errors import NothingToExport, OutputUnusable
from datasets.export.build import Export, Filters
from datasets.export.manifest import build_manifest, provenance
from datasets.export.row import SPLITS, Format
from datasets.export.settings import Settings


def write_folder(
    export: Export, folder: Path, filters: Filters, settings: Settings, created_at: str
) -> dict[str, Any]:
    """Write `train.jsonl` and `validation.jsonl` (each if it has rows), `provenance.json`, `manifest.json`,
    `created.json` with the time.

    Only rows are `.jsonl`, so that a loader pointed at the folder takes nothing else.

    Returns:
        The manifest.

    Raises:
        NothingToExport: no row; nothing is written.
        OutputUnusable: the folder holds something, or cannot be written.
    """
    if not export.rows:
        raise NothingToExport(_why_nothing(export), hint=_what_to_do(export))
    files = _files(export)
    manifest = build_manifest(export, files, filters, settings)
    # Beside the manifest, not in it: the same input then gives the same bytes in every other file.
    files["created.json"] = (json.dumps({"created_at": created_at}) + "\n").encode()
    files["manifest.json"] = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    folder = folder.expanduser().absolute()
    try:
        _require_free(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        staging.chmod(0o755)  # mkdtemp's 0700 would lock colleagues out
        for name, data in files.items():
            staging.joinpath(name).write_bytes(data)
        for split in SPLITS:
            if export.of(split):
                validate_file(staging / f"{split}.jsonl", export.format)
        os.replace(staging, folder)  # over an empty folder, too
    except OSError as error:
        raise _unusable(folder, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def validate_file(path: Path, format_: Format) -> int:
    """Read a JSONL file as a trainer would and check each row against the format. Returns its row count.

    Raises:
        OutputUnusable: a line is no valid row.
    """
    count = 0
    with path.open(encoding="utf-8") as lines:
        for count, line in enumerate(lines, start=1):
            try:
                format_.row_model.model_validate(json.loads(line))
            except (ValueError, ValidationError) as error:
                raise OutputUnusable(
                    f"line {count} of {path.name} is no {format_.name} row ({error})",
                    hint="this is a defect of Spyhop; nothing was left in the output folder",
                ) from error
    return count


def _files(export: Export) -> dict[str, bytes]:
    files = {
        f"{split}.jsonl": _lines(row.text for row in export.of(split)) for split in SPLITS if export.of(split)
    }
    origins = [provenance(row) for split in SPLITS for row in export.of(split)]
    files["provenance.json"] = (json.dumps(origins, ensure_ascii=False, indent=1) + "\n").encode()
    return files


def _lines(texts: Any) -> bytes:
    # U+2028 and U+0085 are line ends to some readers; inside JSON strings they may be written as escapes.
    escaped = (
        text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
        for text in texts
    )
    return "".join(f"{text}\n" for text in escaped).encode()


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputUnusable(
            f"{folder} is not an empty folder", hint="name a new one with --out DIR, or empty it first"
        )


def _unusable(folder: Path, error: OSError) -> OutputUnusable:
    return OutputUnusable(
        f"{folder} cannot be written ({error.strerror or error})", hint="name another folder with --out DIR"
    )


def _why_nothing(export: Export) -> str:
    if not export.labelled_count:
        return "there is nothing to export: no explanation has been rated yet"
    reasons = Counter(reject.reason for reject in export.rejects)
    counted = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
    return f"there is nothing to export: none of {export.labelled_count} ratings makes a row ({counted})"


def _what_to_do(export: Export) -> str:
    if not export.labelled_count:
        return "rate explanations in the dashboard, or with POST /api/monitor/feedback"
    return "give a thumbs-up, or a correction beside a thumbs-down; or widen the filters"
