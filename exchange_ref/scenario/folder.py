"""Runs of the exchange → one labelled incident folder: spans, cases and trace labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from exchange_ref.faults.registry import CONTROLS
from exchange_ref.scenario.plan import Plan, Step, is_control

# After a fault its queues empty: a trace that begins then is neither a good nor a bad example.
UNCERTAIN_AFTER_NS = 2_000_000_000
# During a fault, a trace that did not meet it itself but waited behind those that did is neither, too: one
# with a span so many times as long as 99 of 100 in the baseline, and so much longer than the median. Of 175
# orders during a stalled disk 25 met the stall, and 125 stood in the queue behind them.
COLLATERAL_TIMES = 1.5
COLLATERAL_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One incident and the span of time that belongs to it.

    cut_ns: before and after it traces may be incomplete; they are of the case.
    shape: what an observer should say of the whole system where no service is at fault.
    """

    case_id: str
    fault_kind: str
    root_services: list[str]
    root_operation: str | None
    start_unix_nano: int
    end_unix_nano: int
    cut_ns: int = 0
    shape: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "case_id": self.case_id,
            "fault_kind": self.fault_kind,
            "root_services": self.root_services,
            "root_operation": self.root_operation,
            "inject_time_unix_nano": self.start_unix_nano,
            **({"shape": self.shape} if self.shape else {}),
        }


def labels_by_step(
    plan: Plan, labels: Sequence[Mapping[str, Any]]
) -> list[tuple[Step, list[Mapping[str, Any]]]]:
    """Which labels belong to which step; fault ids count the faults of the schedule."""
    by_number = {int(label["fault_id"].rsplit("-", 1)[1]): label for label in labels}
    numbered: list[tuple[Step, list[Mapping[str, Any]]]] = []
    number = 0
    for step in plan.steps:
        numbers = range(number + 1, number + 1 + len(step.parts))
        numbered.append((step, [by_number[one] for one in numbers if one in by_number]))
        number += len(step.parts)
    return numbered


def cases_of(name: str, plan: Plan, labels: Sequence[Mapping[str, Any]]) -> list[Case]:
    """A case for each step with a fault whose impact is verified; what was not there is no case."""
    cases = []
    for number, (step, found) in enumerate(labels_by_step(plan, labels), start=1):
        faults = [label for label in found if label["kind"] not in CONTROLS and label["impact_verified"]]
        if is_control(step) or not faults:
            continue
        operations = {label["root_operation"] for label in faults}
        kind = "+".join(label["kind"] for label in faults)
        cases.append(
            Case(
                f"{name}-{number:02d}-{kind}",
                kind,
                list(dict.fromkeys(label["root_service"] for label in faults)),
                operations.pop() if len(operations) == 1 else None,
                min(label["start_unix_nano"] for label in faults),
                max(label["end_unix_nano"] for label in faults),
            )
        )
    return cases


def unclean(plan: Plan, labels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Labels of controls in which something else changed too; beside a fault it may."""
    return [
        label
        for step, found in labels_by_step(plan, labels)
        if is_control(step)
        for label in found
        if not label["impact"].get("clean", True)
    ]


def annotate(spans: pl.DataFrame, cases: Iterable[Case], baseline_end_unix_nano: int) -> pl.DataFrame:
    """Add `split` and `case_id`, the same for all spans of a trace: whoever was on the way during a fault
    belongs to its case."""
    began = pl.col("start_time_unix_nano").min().over("trace_id")
    ended = pl.col("end_time_unix_nano").max().over("trace_id")
    case_id = pl.lit(None, dtype=pl.String)
    for case in cases:
        inside = (began <= case.end_unix_nano + case.cut_ns) & (ended >= case.start_unix_nano - case.cut_ns)
        case_id = pl.when(inside).then(pl.lit(case.case_id)).otherwise(case_id)
    learnt = (began < baseline_end_unix_nano) & pl.col("case_id").is_null()
    split = pl.when(learnt).then(pl.lit("baseline")).otherwise(pl.lit("test"))
    return spans.with_columns(case_id.alias("case_id")).with_columns(split.alias("split"))


def recorded_from(spans: pl.DataFrame, unix_nano: int) -> pl.DataFrame:
    """The traces that began then or later: before, the exchange warmed up."""
    return spans.filter(pl.col("start_time_unix_nano").min().over("trace_id") >= unix_nano)


def with_split(logs: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Add to each log the `split` and `case_id` of its trace."""
    traces = spans.select("trace_id", "split", "case_id").unique("trace_id")
    return logs.join(traces, on="trace_id", how="inner").sort("time_unix_nano")


def collateral(spans: pl.DataFrame) -> pl.Series:
    """Ids of traces inside a case that were far slower somewhere than the baseline's."""
    place = ["service_name", "span_name"]
    took = spans.with_columns(took=pl.col("end_time_unix_nano") - pl.col("start_time_unix_nano"))
    usual = (
        took.filter(pl.col("split") == "baseline")
        .group_by(place)
        .agg(median=pl.col("took").median(), p99=pl.col("took").quantile(0.99))
    )
    limit = pl.max_horizontal(pl.col("p99") * COLLATERAL_TIMES, pl.col("median") + COLLATERAL_NS)
    slow = took.filter(pl.col("case_id").is_not_null()).join(usual, on=place).filter(pl.col("took") > limit)
    return slow["trace_id"].unique()


def trace_labels(spans: pl.DataFrame, labels: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """`trace_id`, `anomalous` of the test traces, without those that began while a fault's queues emptied or
    waited behind it."""
    faults = [label for label in labels if label["kind"] not in CONTROLS]
    affected = pl.Series(
        "trace_id", sorted({trace for label in faults for trace in label["trace_ids"]}), pl.String
    )
    began = (
        spans.filter(pl.col("split") == "test")
        .group_by("trace_id")
        .agg(pl.col("start_time_unix_nano").min().alias("began"))
        .with_columns(pl.col("trace_id").is_in(affected.implode()).alias("anomalous"))
        .sort("began")
    )
    certain = pl.col("anomalous")
    uncertain = pl.col("trace_id").is_in(collateral(spans).implode())
    for label in faults:
        begin, end = label["start_unix_nano"], label["end_unix_nano"]
        if cut_ns := label.get("cut_ns", 0):
            uncertain = uncertain | pl.col("began").is_between(begin - cut_ns, end + cut_ns)
        uncertain = uncertain | pl.col("began").is_between(end, end + UNCERTAIN_AFTER_NS)
    return began.filter(certain | ~uncertain).select("trace_id", "anomalous")


def read_labels(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
