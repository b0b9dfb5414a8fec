"""The output of `spyhop replay`: progress on a terminal, every refusal with its place, a summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from collector.http.address import parse_address
from collector.replay.run import Report, expand, replay
from collector.replay.sender import Sender
from collector.settings import Settings
from collector.visible import visible

_SHOWN_REFUSALS = 20


def run_replay(paths: Sequence[Path], to: str | None) -> Report:
    """Send `paths` to the endpoint `to`, or to the one that the settings name.

    Raises:
        InvalidInput: a path or the URL cannot be used.
        Unavailable: nothing answers there.
    """
    settings = Settings()
    url = to or settings.otlp_http
    if "://" not in url:
        url = parse_address(url).url
    files = expand(paths)
    total_bytes = sum(path.stat().st_size for path in files if path.exists())
    console = Console(stderr=True)
    started_s = monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("replaying", total=total_bytes)
        sender = Sender(url, token=settings.otlp_token.get_secret_value())
        report = replay(files, sender, lambda read_bytes: progress.advance(task, read_bytes))
    for refused in report.refused[:_SHOWN_REFUSALS]:
        sys.stderr.write(f"{visible(refused.place)}: {visible(refused.reason)}\n")
    if len(report.refused) > _SHOWN_REFUSALS:
        sys.stderr.write(f"… and {len(report.refused) - _SHOWN_REFUSALS:,} more\n")
    sys.stdout.write(f"{report.summary()} to {url} in {monotonic() - started_s:.1f} s\n")
    return report
