"""`spyhop export`: training data from the engineers' verdicts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Rating(StrEnum):
    up = "up"
    down = "down"


def register(app: typer.Typer) -> None:
    app.command("export")(export)


def export(
    format_name: Annotated[str, typer.Option("--format", metavar="F", help="Row format: trl-sft.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the files.")],
    rating: Annotated[
        Rating | None, typer.Option(help="Only verdicts with this rating; `down` gives corrections.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only verdicts since then: 2026-11-03, 2026-11-03T12:00Z, 90m, 7d.")
    ] = None,
    api: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:4320",
) -> None:
    """Write rated and corrected explanations as JSONL for fine-tuning, with a manifest."""
    import time

    from collector.client import Client
    from datasets.export.build import Filters
    from datasets.export.run import write_export
    from datasets.since import parse_since

    filters = Filters(
        rating=rating.value if rating else None,
        since_unix_nano=parse_since(since, time.time_ns()) if since else None,
    )
    with Client(api, timeout_s=60.0) as client:
        manifest = write_export(client, format_name, out, filters=filters).manifest
    counts = manifest["counts"]
    print(
        f"{counts['train']} training and {counts['validation']} validation rows ({format_name}) in {out};"
        f" {counts['rejected']} of {counts['labelled']} ratings made no row"
    )
    for reason, count in manifest["reject_counts"].items():
        print(f"  {count} × {reason}")
