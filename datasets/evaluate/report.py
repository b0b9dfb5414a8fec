"""The scores for people, and the progress while they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from collector.visible import visible
from datasets.evaluate.evaluation import Evaluation, as_table

_FIGURES = ("hit@1", "hit@3", "hit@5", "mrr", "all_in_top_k", "operation_hit@1")


class Steps:
    """Progress bars on a terminal, on standard error; nothing when it is piped."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


def print_report(result: Evaluation, console: Console | None = None) -> None:
    """Tables of shares from 0 to 1."""
    console = console or Console()
    if result.detection is not None:
        table = Table(*result.detection, box=None, header_style="bold")
        table.add_row(*(_figure(value) for value in result.detection.values()))
        console.print("Detection, each trace by its own score at 3σ")
        console.print(table)
        console.print()
    if result.alerts is not None:
        table = Table(*(name.replace("_", " ") for name in result.alerts), box=None, header_style="bold")
        table.add_row(*(_figure(value) for value in result.alerts.values()))
        console.print("Alerts, as live detection raises them")
        console.print(table)
        console.print()
    if result.faults is not None:
        console.print(
            "Faults, of n cases: detected, in an incident, share of affected traces flagged by score, located"
        )
        console.print(_faults(result.faults))
        console.print()
    for shape, row in (result.shapes or {}).items():
        told = ", ".join(f"{name} {_figure(value)}" for name, value in row.items())
        console.print(f"The whole system, {shape}: {told}")
        console.print()
    if result.false_alarms is not None:
        _print_false_alarms(result.false_alarms, console)
    figures = [name for name in _FIGURES if name in result.localisation]
    table = Table("", *figures, "n", box=None, header_style="bold")
    for name, scores in as_table(result):
        table.add_row(name, *(_figure(scores.get(figure)) for figure in figures), str(scores["n"]))
    console.print("Localisation, by service")
    console.print(table)
    console.print(f"{result.seconds:.1f} s")
    if result.explanations is not None:
        console.print()
        console.print("Explanations, code and where one is configured the model")
        for name, told in result.explanations.items():
            if name == "scripted_models":
                continue
            console.print(f"  {name}: " + ", ".join(f"{key} {_figure(value)}" for key, value in told.items()))
        console.print("What scripted models got past the check (lies shown and causes changed should be 0)")
        for name, counts in result.explanations["scripted_models"].items():
            console.print(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in counts.items()))


def _faults(faults: Mapping[str, Mapping[str, Any]]) -> Table:
    names = ("detected", "in_incident", "flagged_share", "first", "in_first_three")
    heads = ("detected", "incident", "flagged", "hit@1", "hit@3", "op@1")
    table = Table("fault", "n", *heads, "fired in cases", box=None, header_style="bold")
    for kind, row in faults.items():
        fired = _counts(row["fired"])
        if row["fired_beside_if_missed"]:
            fired += f" (where missed, beside it: {_counts(row['fired_beside_if_missed'])})"
        operations = f"{row['operation_first']}/{row['operation_named']}"
        table.add_row(kind, str(row["n"]), *(_figure(row[name]) for name in names), operations, fired)
    return table


def _print_false_alarms(found: Mapping[str, Any], console: Console) -> None:
    flagged, ordinary = found["flagged_traces"], found["ordinary_traces"]
    fired = _counts(found["fired"]) or "nothing"
    console.print(f"False alarms, on {flagged} of {ordinary} ordinary traces: {fired}")
    for title in found["incidents"]:
        console.print(f"  incident without a fault: {visible(title)}", highlight=False)
    for control in found["controls"]:
        console.print(f"  control {control['control']}: {_counts(control['fired']) or 'quiet'}")
        for title in control["incidents"]:
            console.print(f"    incident: {visible(title)}", highlight=False)
    console.print()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
