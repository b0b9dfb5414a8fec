"""`spyhop export`, training data from verdicts, and `spyhop eval`, scores on labelled incidents."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Rating(StrEnum):
    up = "up"
    down = "down"


class Verdict(StrEnum):
    right = "right"
    partly_right = "partly_right"
    wrong = "wrong"


class LabelSource(StrEnum):
    thumbs_up = "thumbs-up"
    thumbs_down = "thumbs-down"
    correction = "correction"
    adjudication = "adjudication"


def register(app: typer.Typer) -> None:
    app.command("export")(export)
    app.command("eval")(evaluate_folder)
    app.command("cases")(write_corrected_cases)


def export(  # noqa: PLR0917 - the options of a command
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F",
            help="openai-sft, openai-dpo, openai-rft, trl-sft, trl-dpo, trl-kto, sharegpt, alpaca or raw;"
            " several with commas, or `all`, go to a folder each.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the files.")],
    rating: Annotated[
        Rating | None, typer.Option(help="Only verdicts with this rating; `down` gives corrections.")
    ] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only this verdict.")] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only verdicts of this reviewer; may be repeated."),
    ] = None,
    min_reviewers: Annotated[
        int, typer.Option(min=1, help="Only where at least so many reviewers gave the verdict.")
    ] = 1,
    label_source: Annotated[LabelSource | None, typer.Option(help="Only labels of this origin.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only verdicts since then: 2026-11-03, 2026-11-03T12:00Z, 90m, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only verdicts before then; as --since.")] = None,
    template: Annotated[
        str | None, typer.Option(metavar="V", help="Only explanations of this prompt version, e.g. v2.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only explanations for which this model was asked.")
    ] = None,
    severity: Annotated[
        int | None, typer.Option(min=1, max=5, help="Only incidents at least so severe; 1 is the worst.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count and check, and leave no file.")] = False,
    api: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:4320",
) -> None:
    """Write judged and corrected explanations as JSONL for fine-tuning, with manifest and dataset card."""
    import time

    from collector.client import Client
    from datasets.export.progress import Progress
    from datasets.export.run import write_export
    from datasets.export.select import Filters
    from datasets.export.since import parse_since

    filters = Filters(
        rating=rating.value if rating else None,
        verdict=verdict.value if verdict else None,
        reviewers=tuple(reviewer or ()),
        min_reviewers=min_reviewers,
        label_source=label_source.value if label_source else None,
        since_unix_nano=parse_since(since, time.time_ns()) if since else None,
        until_unix_nano=parse_since(until, time.time_ns()) if until else None,
        template=template,
        model=model,
        max_severity=severity,
    )
    with Client(api, timeout_s=60.0) as client, Progress() as progress:
        written = write_export(client, format_name, out, filters=filters, progress=progress, dry_run=dry_run)
    for name, manifest in written.manifests.items():
        counts, tokens = manifest["counts"], manifest["token_estimates"]
        place = (
            "a dry run, nothing was written"
            if dry_run
            else f"{out / name if len(written.manifests) > 1 else out}"
        )
        print(
            f"{counts['train']} training, {counts['validation']} validation and {counts['test']} test rows"
            f" ({name}): {place}; {counts['rejected']} of {counts['labelled']} verdicts made no row"
        )
        print(
            f"  about {tokens['total']:,} tokens, {tokens['p50']:,} a row at p50, {tokens['max']:,} at most"
        )
        for line in manifest["warnings"]:
            print(f"  note: {line}")
        for reason, count in manifest["reject_counts"].items():
            print(f"  {count} × {reason}")


def evaluate_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled incidents.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also score without each source of evidence.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also explain each case, and judge what is said.")
    ] = False,
) -> None:
    """Score detection and root-cause ranking on labelled incidents, as the server would do them."""
    import json

    from datasets.evaluate.evaluation import evaluate
    from datasets.evaluate.incidents import IncidentFolder
    from datasets.evaluate.report import Steps, print_report

    with IncidentFolder.open(folder) as incidents, Steps() as steps:
        result = evaluate(incidents, ablate=ablate, explain=explain, step=steps)
    if as_json:
        print(json.dumps(result.as_dict()))
    else:
        print_report(result)


def write_corrected_cases(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the cases.")],
    reviewer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only of this reviewer; may be repeated."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only corrections since then: 2026-11-03, 2026-11-03T12:00Z, 90m, 7d.")
    ] = None,
    api: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:4320",
) -> None:
    """Make corrections of explanations cases of `spyhop eval`, while their spans are stored."""
    import time

    from collector.client import Client
    from datasets.evaluate.corrected import write_cases
    from datasets.export.select import Filters
    from datasets.export.since import parse_since

    filters = Filters(
        reviewers=tuple(reviewer or ()),
        since_unix_nano=parse_since(since, time.time_ns()) if since else None,
    )
    with Client(api, timeout_s=60.0) as client:
        cases = write_cases(client, out, filters)
    print(
        f"{len(cases.labels)} cases with {cases.span_count:,} spans in {out}; score them: spyhop eval {out}"
    )
    for reject in cases.rejects:
        print(f"  not {reject.example_id}: {reject.reason}")
