"""Play a scenario and write its folder."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from exchange_ref.errors import FolderUnusable
from exchange_ref.exchange import ExchangeConfig
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.load.arrivals import Mix
from exchange_ref.run import RunOptions, new_event_loop, run_until
from exchange_ref.scenario.folder import (
    annotate,
    cases_of,
    read_labels,
    recorded_from,
    trace_labels,
    unclean,
    with_split,
)
from exchange_ref.scenario.log_rows import LogRows
from exchange_ref.scenario.metric_rows import MetricRows
from exchange_ref.scenario.outside import Happened, Sender, happen
from exchange_ref.scenario.outside_truth import case_of, label_of
from exchange_ref.scenario.plan import Plan, Scenario, Split, plans
from exchange_ref.scenario.span_rows import SpanRows
from exchange_ref.telemetry.outputs import Exporters

SPANS, LOGS, TRACE_LABELS = "spans.parquet", "logs.parquet", "trace_labels.parquet"
METRICS = "metrics.parquet"
MIX = Mix(transfer_share=0.05, cancel_share=0.02)


@dataclass(frozen=True, slots=True)
class Played:
    """One run's part of the folder. Its tables stand in Parquet files below `folder`."""

    folder: Path
    cases: list[dict[str, object]]
    labels: list[dict[str, Any]]
    unclean: list[dict[str, Any]]
    spans_dropped: int


def play(
    scenario: Scenario, split: Split, seed: int, out: Path, say: Callable[[str], None], *, parallel: int = 1
) -> dict[str, object]:
    """Run all plans of a scenario and write `out`; returns what `scenario.json` holds.

    Args:
        parallel: so many runs at the same time, each an exchange in a process of its own.

    Raises:
        FolderUnusable: `out` has something in it, or cannot be written.
    """
    _prepare(out)
    todo = plans(scenario, split, seed)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="exchange-") as text:
        jobs = [
            (plan, f"{scenario.name}-{split}-{seed + number}", Path(text) / str(number))
            for number, plan in enumerate(todo)
        ]
        for number, plan in enumerate(todo, start=1):
            place = f"{scenario.name}/{split} {number} of {len(todo)}"
            say(f"{place}: {len(plan.steps)} steps, {plan.duration_s:.0f} s")
        played = _play_all(jobs, parallel)
        return _write(out, scenario, split, seed, played, seconds=time.monotonic() - started_s)


def _play_all(jobs: list[tuple[Plan, str, Path]], parallel: int) -> list[Played]:
    if parallel == 1 or len(jobs) == 1:
        return [play_one(*job) for job in jobs]
    # A new interpreter for each: a forked one would share threads and locks of exporters.
    with ProcessPoolExecutor(
        parallel, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        return list(processes.map(play_one, *zip(*jobs, strict=True)))


def play_one(plan: Plan, name: str, folder: Path) -> Played:
    """Run one plan and write its part into `folder`."""
    data = folder / "data"
    data.mkdir(parents=True)
    sender = Sender()
    beside = _Beside(plan, sender)
    options = RunOptions(
        exchange=ExchangeConfig(data, price_seed=plan.seed),
        otlp=None,
        rate_per_s=plan.rate_per_s,
        seed=plan.seed,
        schedule=parse_schedule(json.dumps(plan.schedule()), name),
        duration_s=plan.warm_up_s + plan.duration_s,
        span_queue=200_000,
        mix=MIX,
        tide=plan.tide,
        retry=plan.retry,
        population=plan.population,
        customers_per_s=plan.customers_per_s,
        beside=beside,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        metrics = MetricRows(sender)
        exporters = Exporters(
            SpanRows(folder / "raw-spans.parquet", sender),
            LogRows(folder / "raw-logs.parquet", sender),
            metrics.new_reader,
        )
        report = runner.run(run_until(options, exporters, lambda _: None))
    metrics.write(folder / METRICS, name, beside.recorded_from_unix_nano)
    spans = recorded_from(pl.read_parquet(folder / "raw-spans.parquet"), beside.recorded_from_unix_nano)
    labels = read_labels(data / "labels.jsonl")
    cases, disturbed = cases_of(name, plan, labels), unclean(plan, labels)
    if beside.happened is not None:
        labels.append(label_of(beside.happened, spans))
        cases += [case_of(name, label) for label in labels[-1:] if label["impact_verified"]]
    faults_begin = min((label["start_unix_nano"] for label in labels), default=None)
    baseline_end = faults_begin or beside.recorded_from_unix_nano + int(plan.baseline_s * 1e9)
    spans = annotate(spans, cases, baseline_end)
    # Runs may take place at the same time: a replay of the set must separate the exchanges.
    spans.with_columns(run=pl.lit(name)).write_parquet(folder / SPANS)
    with_split(pl.read_parquet(folder / "raw-logs.parquet"), spans).write_parquet(folder / LOGS)
    trace_labels(spans, labels).write_parquet(folder / TRACE_LABELS)
    return Played(
        folder,
        [case.as_json() for case in cases],
        [{**label, "run": name} for label in labels],
        [dict(label) for label in disturbed],
        int(str(report["spans_dropped"])),
    )


class _Beside:
    """Notes when the recording begins, and plays what happens around the exchange."""

    def __init__(self, plan: Plan, sender: Sender) -> None:
        self._plan = plan
        self._sender = sender
        self.recorded_from_unix_nano = 0
        self.happened: Happened | None = None

    async def __call__(self, stop: asyncio.Event) -> None:
        outside, warm_up_s = self._plan.outside, self._plan.warm_up_s
        self.recorded_from_unix_nano = time.time_ns() + int(warm_up_s * 1e9)
        if outside is not None:
            self.happened = await happen(outside, warm_up_s + outside.at_s, self._sender, stop)


def _write(
    out: Path, scenario: Scenario, split: Split, seed: int, played: list[Played], *, seconds: float
) -> dict[str, object]:
    tables = {}
    for name in (SPANS, LOGS, METRICS, TRACE_LABELS):
        tables[name] = pl.concat([pl.read_parquet(one.folder / name) for one in played])
        tables[name].write_parquet(out / name)
    cases = [case for one in played for case in one.cases]
    (out / "cases.json").write_text(json.dumps(cases, indent=2) + "\n", encoding="utf-8")
    labels = [label for one in played for label in one.labels]
    with (out / "labels.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(label) + "\n" for label in labels)
    summary: dict[str, object] = {
        "scenario": scenario.name,
        "split": str(split),
        "seed": seed,
        "seconds": round(seconds, 1),
        "spans": tables[SPANS].height,
        "spans_dropped": sum(one.spans_dropped for one in played),
        "logs": tables[LOGS].height,
        "metric_points": tables[METRICS].height,
        "traces": tables[SPANS]["trace_id"].n_unique(),
        "cases": len(cases),
        "anomalous_traces": int(tables[TRACE_LABELS]["anomalous"].sum()),
        "unverified": [_told(label) for label in labels if not label["impact_verified"]],
        "unclean": [_told(label) for one in played for label in one.unclean],
    }
    (out / "scenario.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _told(label: dict[str, Any]) -> dict[str, object]:
    return {name: label[name] for name in ("fault_id", "kind", "params", "impact")}


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise FolderUnusable(f"{out} has something in it; choose a new --out folder")
        (out / SPANS).touch()
    except OSError as error:
        raise FolderUnusable(
            f"cannot write to {out}: {error.strerror}; choose another --out folder"
        ) from None


def say_on_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
