"""Play a scenario and write its folder."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from exchange_ref.errors import FolderUnusable
from exchange_ref.exchange import ExchangeConfig
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.load import Mix
from exchange_ref.outputs import Exporters
from exchange_ref.run import RunOptions, new_event_loop, run_until
from exchange_ref.scenario.folder import (
    Case,
    annotate,
    cases_of,
    read_labels,
    trace_labels,
    with_split,
)
from exchange_ref.scenario.log_rows import LogRows
from exchange_ref.scenario.plan import Plan, Scenario, Split, plans
from exchange_ref.scenario.span_rows import SpanRows

MIX = Mix(transfer_share=0.05, cancel_share=0.02)


@dataclass(frozen=True, slots=True)
class Played:
    """One run's part of the folder."""

    spans: pl.DataFrame
    logs: pl.DataFrame
    cases: list[Case]
    labels: list[dict[str, Any]]
    report: dict[str, object]


def play(
    scenario: Scenario, split: Split, seed: int, out: Path, say: Callable[[str], None]
) -> dict[str, object]:
    """Run all plans of a scenario one after another and write `out`; returns what `scenario.json` holds.

    Raises:
        FolderUnusable: `out` has something in it, or cannot be written.
    """
    _prepare(out)
    todo = plans(scenario, split, seed)
    played = []
    for number, plan in enumerate(todo, start=1):
        place = f"{scenario.name}/{split} {number} of {len(todo)}"
        say(f"{place}: {len(plan.steps)} steps, {plan.duration_s:.0f} s")
        played.append(_play(plan, f"{scenario.name}-{split}-{seed + number - 1}"))
    return _write(out, scenario, split, seed, played)


def _play(plan: Plan, name: str) -> Played:
    with tempfile.TemporaryDirectory(prefix="exchange-") as text:
        folder = Path(text)
        options = RunOptions(
            exchange=ExchangeConfig(folder),
            otlp=None,
            rate_per_s=plan.rate_per_s,
            seed=plan.seed,
            schedule=parse_schedule(json.dumps(plan.schedule()), name),
            duration_s=plan.duration_s,
            span_queue=200_000,
            mix=MIX,
        )
        started_unix_nano = time.time_ns()
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            exporters = Exporters(SpanRows(folder / "spans.parquet"), LogRows(folder / "logs.parquet"))
            report = runner.run(run_until(options, exporters, lambda _: None))
        spans, logs = pl.read_parquet(folder / "spans.parquet"), pl.read_parquet(folder / "logs.parquet")
        labels = read_labels(folder / "labels.jsonl")
    cases = cases_of(name, plan, labels)
    faults_begin = min((label["start_unix_nano"] for label in labels), default=None)
    baseline_end = faults_begin or started_unix_nano + int(plan.baseline_s * 1e9)
    spans = annotate(spans, cases, baseline_end)
    return Played(spans, with_split(logs, spans), cases, labels, report)


def _write(out: Path, scenario: Scenario, split: Split, seed: int, played: list[Played]) -> dict[str, object]:
    spans = pl.concat([one.spans for one in played])
    spans.write_parquet(out / "spans.parquet")
    logs = pl.concat([one.logs for one in played])
    logs.write_parquet(out / "logs.parquet")
    cases = [case.as_json() for one in played for case in one.cases]
    (out / "cases.json").write_text(json.dumps(cases, indent=2) + "\n", encoding="utf-8")
    marked = pl.concat([trace_labels(one.spans, one.labels) for one in played])
    marked.write_parquet(out / "trace_labels.parquet")
    labels = [label for one in played for label in one.labels]
    with (out / "labels.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(label) + "\n" for label in labels)
    summary: dict[str, object] = {
        "scenario": scenario.name,
        "split": str(split),
        "seed": seed,
        "spans": spans.height,
        "spans_dropped": sum(int(str(one.report["spans_dropped"])) for one in played),
        "logs": logs.height,
        "traces": spans["trace_id"].n_unique(),
        "cases": len(cases),
        "anomalous_traces": int(marked["anomalous"].sum()),
        "unverified": [
            {name: label[name] for name in ("fault_id", "kind", "params", "impact")}
            for label in labels
            if not label["impact_verified"]
        ],
    }
    (out / "scenario.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise FolderUnusable(f"{out} has something in it; choose a new --out folder")
        (out / "spans.parquet").touch()
    except OSError as error:
        raise FolderUnusable(
            f"cannot write to {out}: {error.strerror}; choose another --out folder"
        ) from None


def say_on_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
