"""From a running server to a folder of training data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.client import Client
from datasets.export.build import Filters, build_export
from datasets.export.folder import write_folder
from datasets.export.formats import format_named
from datasets.export.labelled import from_client
from datasets.export.settings import Settings
from llm.service import iso_utc


@dataclass(frozen=True)
class Written:
    """`rows` counts all splits; `manifest` is the content of `manifest.json`."""

    rows: int
    manifest: dict[str, Any]


def write_export(
    client: Client,
    format_name: str,
    folder: Path,
    *,
    filters: Filters | None = None,
    settings: Settings | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Written:
    """Write the export; works while the server runs, since all data comes over HTTP.

    Raises:
        InvalidInput: no such format.
        NothingToExport: no verdict makes a row; nothing is written.
        OutputUnusable: the folder holds something, or cannot be written.
        Unavailable: no server answers.
    """
    format_ = format_named(format_name)
    filters, settings = filters or Filters(), settings or Settings()
    export = build_export(from_client(client), format_, settings, filters)
    manifest = write_folder(export, folder, filters, settings, iso_utc(clock_ns()))
    return Written(len(export.rows), manifest)
