"""An explanation on the terminal. Names come from telemetry: they are text, never markup."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.visible import visible
from llm.analysis.units import percent, quantity
from llm.redaction.redact import quoted_name, strip_invisible

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def show(explanation: dict[str, Any], console: Console | None = None) -> None:
    """Print `explanation`, in the shape of `POST /api/monitor/analyze`."""
    console = console or Console(highlight=False)
    console.print(_plain(explanation["summary"], style="bold"))
    if explanation["root_causes"]:
        console.print()
        for cause in explanation["root_causes"]:
            place = f"{quoted_name(cause['operation'])} in {quoted_name(cause['service'])}"
            cited = ", ".join(cause["evidence"])
            console.print(
                _plain(f"{cause['rank']}. {place}  (confidence {percent(cause['confidence'])}) [{cited}]")
            )
    way = explanation.get("propagation") or {}
    if way.get("edges"):
        console.print()
        console.print(_plain(_way(way)))
    if explanation["evidence"]:
        console.print()
        console.print(_evidence_table(explanation["evidence"]))
    if explanation["recommendations"]:
        console.print()
        console.print(Text("What to do next", style="bold"))
        for line in explanation["recommendations"]:
            console.print(_plain(f"- {line}"))
    trace_id = explanation["trace_id"] or ""
    if _TRACE_ID.fullmatch(trace_id):  # only a well-formed id goes into a command that people paste
        query = f"FROM spans WHERE trace_id = '{trace_id}' ORDER BY start_time"
        console.print(_plain(f'- See its spans: spyhop sql "{query}"'), soft_wrap=True)
    console.print()
    said_by = f"written by {explanation['model']}, checked" if explanation["source"] == "model" else "by code"
    console.print(
        _plain(f"{explanation['explanation_id']} · {said_by} · {explanation['created_at']}", style="dim")
    )
    if explanation["notice"]:
        console.print(_plain(explanation["notice"], style="yellow"))


_STEPS = {
    "waits_for": "→ waited for by",
    "message": "→ whose message it took from",
    "called_by": "→ then calls",
}


def _way(way: dict[str, Any]) -> str:
    """The chain from cause to symptom on one line, each step of it a pair of stored spans."""
    places = [way["edges"][0]["source"], *(edge["target"] for edge in way["edges"])]
    steps = ["", *(f"{_STEPS[edge['kind']]} " for edge in way["edges"])]
    names = (f"{quoted_name(place['operation'])} in {quoted_name(place['service'])}" for place in places)
    line = " ".join(f"{step}{name}" for step, name in zip(steps, names, strict=True))
    ends = "the symptom" if way["reaches_symptom"] else f"not the symptom ({way['note']})"
    return f"Way, each step in stored spans: {line}; reaches {ends}"


def _evidence_table(evidence: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "where", "kind", "observed", "usual", "span"):
        numeric = heading in ("observed", "usual")
        table.add_column(
            heading, justify="right" if numeric else "left", no_wrap=heading in ("", "span"), overflow="fold"
        )
    for fact in evidence:
        table.add_row(
            _plain(fact["evidence_id"]),
            _plain(f"{fact['operation']} in {fact['service']}"),
            _plain(fact["kind"].replace("_", " ")),
            _plain(_value(fact["observed"], fact["unit"])),
            _plain(_value(fact["expected"], fact["unit"])),
            _plain(fact["span_id"]),
        )
    return table


def _value(value: float | None, unit: str | None) -> str:
    return "" if value is None else quantity(value, unit)


def _plain(text: str, style: str = "") -> Text:
    return Text(strip_invisible(visible(text, keep="\n")), style=style)
