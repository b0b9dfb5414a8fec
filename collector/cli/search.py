"""`spyhop search`: asks a server or a folder and prints a line for each trace."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from collector.cli.shell import FolderSource, open_source
from collector.search.route import SearchQuery, answer
from collector.visible import visible


def run_search(
    asked: Mapping[str, Any], *, api: str | None, data: Path | None, as_json: bool, out: IO[str]
) -> None:
    """
    Args:
        asked: the parameters of `/api/traces/search`; None where one is not given.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    with open_source(api, data) as source:
        if isinstance(source, FolderSource):
            found = answer(source.queries, SearchQuery(**given), time.time_ns())
        else:
            found = source.client.get("/api/traces/search", **given)
    if as_json:
        out.write(json.dumps(found, ensure_ascii=False) + "\n")
    else:
        _print(found, out)
    if not found["traces"]:
        sys.stderr.write(f"nothing from {found['start'][:19]} to {found['end'][:19]} UTC matches\n")
    if found["truncated"]:
        reason = found["reason"] or "see more with --limit"
        sys.stderr.write(f"there may be more traces: {reason}\n")


def _print(found: Mapping[str, Any], out: IO[str]) -> None:
    if not found["traces"]:
        return
    table = Table(box=None, header_style="bold")
    for name in ("start (UTC)", "trace", "root"):
        table.add_column(name, overflow="fold")
    for name in ("duration", "spans", "errors", "matched"):
        table.add_column(name, justify="right")
    table.add_column("anomaly")
    for trace in found["traces"]:
        root = f"{trace['root_service_name']}: {trace['root_span_name']}"
        table.add_row(
            trace["start_time"][:23].replace("T", " "),
            trace["trace_id"],
            visible(root if trace["has_root"] else f"{root} (no root yet)"),
            _duration(trace["duration_ns"]),
            str(trace["span_count"]),
            str(trace["error_count"]),
            str(trace["matched_count"]),
            trace["severity"] or "",
        )
    # A pipe has no width of its own: nothing of a line is cut.
    Console(file=out, width=None if out.isatty() else 200, markup=False, highlight=False).print(table)


def _duration(nanoseconds: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if nanoseconds >= size:
            return (
                f"{nanoseconds / size:.3g} {unit}"
                if nanoseconds < 1000 * size
                else f"{nanoseconds // size} {unit}"
            )
    return f"{nanoseconds} ns"
