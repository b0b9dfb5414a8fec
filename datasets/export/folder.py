"""An export on disk: all of its files or none, read again and validated before they take their place.

Rows are written as they are made, so memory grows with their number by hashes and counts only.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from datasets.errors import NothingToExport, OutputUnusable
from datasets.export.build import Rows, judged_examples
from datasets.export.card import card
from datasets.export.labelled import Source
from datasets.export.manifest import Statistics, build_manifest, file_entry, provenance
from datasets.export.rejects import Rejects
from datasets.export.row import SPLITS, Format, Judged, Split
from datasets.export.select import Filters, Selection, select
from datasets.export.settings import Settings

Progress = Any  # called with (done, total)


class FormatFolder:
    """The files of one format, being written."""

    def __init__(self, format_: Format, folder: Path, settings: Settings) -> None:
        self.format = format_
        self.folder = folder
        self.rows = Rows(format_, settings)
        self.statistics = Statistics()
        self._stack = ExitStack()
        self._files: dict[Split, IO[bytes]] = {}
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # mkdtemp's 0700 would lock colleagues out
        self._provenance = self._stack.enter_context((folder / "provenance.json").open("wb"))
        self._provenance.write(b"[")

    def take(self, judged: Judged, split: Split) -> None:
        for row in self.rows.of(judged, split):
            if split not in self._files:
                path = self.folder / f"{split}.jsonl"
                self._files[split] = self._stack.enter_context(path.open("wb", buffering=1 << 20))
            self._files[split].write(row.text + b"\n")
            self._provenance.write(b",\n " if self.statistics.row_count else b"\n ")
            self._provenance.write(msgspec.json.encode(provenance(row)))
            self.statistics.take(row)

    def close(self) -> None:
        self._provenance.write(b"\n]\n")
        self._stack.close()

    def abandon(self) -> None:
        self._stack.close()

    def finish(
        self,
        selection: Selection,
        unfit: Rejects,
        filters: Filters,
        settings: Settings,
        created_at: str,
    ) -> dict[str, Any]:
        """Check the written rows, and write card, manifest and the files that a trainer needs beside them."""
        for split in self._files:
            validate_file(self.folder / f"{split}.jsonl", self.format)
        splits = [split for split in SPLITS if split in self._files]
        for name, text in self.format.extra_files(splits).items():
            (self.folder / name).write_text(text, encoding="utf-8")
        rejects = selection.rejects.joined(unfit, self.rows.rejects)
        manifest = build_manifest(
            self.format, self.statistics, rejects, selection.labelled_count, filters, settings
        )
        (self.folder / "README.md").write_text(card(self.format, manifest, splits), encoding="utf-8")
        manifest["files"] = {path.name: file_entry(path) for path in sorted(self.folder.iterdir())}
        # Beside the manifest, not in it: the same input then gives the same bytes in every other file.
        (self.folder / "created.json").write_text(json.dumps({"created_at": created_at}) + "\n")
        # As json.dumps(indent=2) writes it, which takes .3 s for 10,000 rejects, and this 4 ms.
        lines = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (self.folder / "manifest.json").write_bytes(lines + b"\n")
        return manifest


def write_folder(  # noqa: PLR0917
    source: Source,
    formats: Sequence[Format],
    folder: Path,
    filters: Filters,
    settings: Settings,
    created_at: str,
    *,
    progress: Progress = lambda _done, _total: None,
    dry_run: bool = False,
) -> dict[str, dict[str, Any]]:
    """Write each format's rows, `provenance.json`, card, `manifest.json` and, with the time, `created.json`.

    One format's files lie in `folder`, those of several in a folder each. Only rows are `.jsonl`, so that a
    loader pointed at the folder takes nothing else. A dry run does all but leave the files.

    Returns:
        The manifest of each format by its name.

    Raises:
        NothingToExport: no row in any format; nothing is written.
        OutputUnusable: the folder holds something, or cannot be written.
    """
    selection = select(source, filters, settings)
    folder = folder.expanduser().absolute()
    with _staging(folder, dry_run=dry_run) as staging:
        folders = [
            FormatFolder(format_, staging / format_.name if len(formats) > 1 else staging, settings)
            for format_ in formats
        ]
        unfit = Rejects()
        try:
            for done, (judged, split) in enumerate(
                judged_examples(source, selection, unfit, beside=True), start=1
            ):
                for one in folders:
                    one.take(judged, split)
                progress(done, len(selection.chosen))
            for one in folders:
                one.close()
            if not any(one.statistics.row_count for one in folders):
                raise NothingToExport(_why_nothing(selection, unfit, folders), hint=_what_to_do(selection))
            manifests = {
                one.format.name: one.finish(selection, unfit, filters, settings, created_at)
                for one in folders
            }
        finally:
            for one in folders:
                one.abandon()
        if not dry_run:
            os.replace(staging, folder)  # over an empty folder, too
    return manifests


@contextmanager
def _staging(folder: Path, *, dry_run: bool) -> Iterator[Path]:
    """A folder beside `folder` that replaces it or is removed afterwards; a temporary one in a dry run."""
    try:
        if not dry_run:
            _require_free(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=None if dry_run else folder.parent))
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        staging.chmod(0o755)
        yield staging
    except OSError as error:
        raise _unusable(folder, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def validate_file(path: Path, format_: Format) -> int:
    """Read a JSONL file as a trainer would and check each row against the format. Returns its row count.

    Raises:
        OutputUnusable: a line is no valid row.
    """
    decoder = msgspec.json.Decoder(format_.row_type)
    count = 0
    with path.open("rb") as lines:
        for count, line in enumerate(lines, start=1):
            try:
                format_.check(decoder.decode(line))
            except ValueError as error:
                raise OutputUnusable(
                    f"line {count} of {path.name} is not a {format_.name} row ({error})",
                    hint="this is a defect of Spyhop; nothing was left in the output folder",
                ) from error
    return count


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputUnusable(
            f"{folder} is not an empty folder", hint="name a new one with --out DIR, or empty it first"
        )


def _unusable(folder: Path, error: OSError) -> OutputUnusable:
    return OutputUnusable(
        f"{folder} cannot be written ({error.strerror or error})", hint="name another folder with --out DIR"
    )


def _why_nothing(selection: Selection, unfit: Rejects, folders: Sequence[FormatFolder]) -> str:
    if not selection.labelled_count:
        return "there is nothing to export: no explanation has been rated yet"
    reasons = selection.rejects.joined(unfit, *(one.rows.rejects for one in folders)).kinds
    counted = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
    return f"there is nothing to export: none of {selection.labelled_count} ratings makes a row ({counted})"


def _what_to_do(selection: Selection) -> str:
    if not selection.labelled_count:
        return "rate explanations in the dashboard, or with POST /api/monitor/feedback"
    return "give a thumbs-up, or a correction beside a thumbs-down; or widen the filters"
