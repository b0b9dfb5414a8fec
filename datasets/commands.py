"""`spyhop export`, training data from verdicts, and `spyhop eval`, scores on labelled incidents."""

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
    app.command("eval")(evaluate_folder)


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
    from datasets.export.since import parse_since

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


def evaluate_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled incidents.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also score without each source of evidence.")
    ] = False,
) -> None:
    """Score detection and root-cause ranking on labelled incidents, as the server would do them."""
    import json

    from datasets.evaluate.evaluation import evaluate
    from datasets.evaluate.incidents import IncidentFolder
    from datasets.evaluate.report import Steps, print_report

    with IncidentFolder.open(folder) as incidents, Steps() as steps:
        result = evaluate(incidents, ablate=ablate, step=steps)
    if as_json:
        print(json.dumps(result.as_dict()))
    else:
        print_report(result)
