"""From a running server to a folder of training data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.client import Client
from datasets.export.folder import write_folder
from datasets.export.formats import formats_named
from datasets.export.labelled import Database
from datasets.export.select import Filters
from datasets.export.settings import Settings
from llm.service import iso_utc


@dataclass(frozen=True)
class Written:
    """`rows` counts all splits; `manifest` is the content of `manifest.json`, the first of several."""

    rows: int
    manifest: dict[str, Any]
    manifests: dict[str, dict[str, Any]]


def write_export(
    client: Client,
    format_name: str,
    folder: Path,
    *,
    filters: Filters | None = None,
    settings: Settings | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    dry_run: bool = False,
) -> Written:
    """Write the export; works while the server runs, since all data comes over HTTP.

    Args:
        format_name: one of `FORMATS`, several with commas, or `all`.
        progress: called with the examples that are done and all.

    Raises:
        InvalidInput: no such format.
        NothingToExport: no verdict makes a row; nothing is written.
        OutputUnusable: the folder holds something, or cannot be written.
        Unavailable: no server answers.
    """
    formats = formats_named(format_name)
    manifests = write_folder(
        Database.of_client(client),
        formats,
        folder,
        filters or Filters(),
        settings or Settings(),
        iso_utc(clock_ns()),
        progress=progress,
        dry_run=dry_run,
    )
    first = manifests[formats[0].name]
    return Written(sum(m["rows"] for m in manifests.values()), first, manifests)
