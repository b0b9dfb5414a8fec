"""Measures whether the symptom is there: the exchange before a fault against during it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange_ref.telemetry.span_witness import Run, SpanWitness

# The usual figures are of this time before the fault.
USUAL_FOR_NS = 20_000_000_000
# so few may be chance
MIN_AFFECTED = 3


class Sample(NamedTuple):
    """One measurement of one trace."""

    trace_id: int
    at_unix_nano: int
    value: float


@dataclass(frozen=True, slots=True)
class Window:
    """When a fault was there.

    Args:
        others: windows of other faults, which are no measure of what is usual.
    """

    start_unix_nano: int
    end_unix_nano: int
    others: tuple[Window, ...] = ()

    def __contains__(self, unix_nano: int) -> bool:
        return self.start_unix_nano <= unix_nano <= self.end_unix_nano

    def is_usual(self, unix_nano: int) -> bool:
        """Whether that moment is shortly before this fault and in no other one."""
        return 0 < self.start_unix_nano - unix_nano <= USUAL_FOR_NS and not any(
            unix_nano in other for other in self.others
        )


@dataclass(frozen=True, slots=True)
class Impact:
    """`trace_ids` are the affected ones, 32 hex digits each, in the order they were met."""

    verified: bool
    trace_ids: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)


def compare(samples: Iterable[Sample], window: Window, extra: float) -> Impact:
    """Affected is a sample of the window that lies `extra` above the median before it. Verified when there
    are some, and clearly more of them than there used to be."""
    before: list[float] = []
    during: list[Sample] = []
    for sample in samples:
        if sample.at_unix_nano in window:
            during.append(sample)
        elif window.is_usual(sample.at_unix_nano):
            before.append(sample.value)
    median_before = statistics.median(before) if before else None
    median_during = statistics.median(sample.value for sample in during) if during else None
    figures: dict[str, object] = {
        "median_before": _rounded(median_before),
        "median_during": _rounded(median_during),
        "samples_before": len(before),
        "samples_during": len(during),
    }
    if median_before is None:
        return Impact(False, [], {**figures, "affected": 0})
    threshold = median_before + extra
    affected = [sample for sample in during if sample.value >= threshold]
    usual_share = sum(value >= threshold for value in before) / len(before)
    verified = len(affected) >= MIN_AFFECTED and len(affected) / len(during) > 3 * usual_share + 0.02
    figures |= {"affected": len(affected), "usual_share": round(usual_share, 4)}
    return Impact(verified, trace_ids(sample.trace_id for sample in affected), figures)


def durations_ms(witness: SpanWitness, service: str, operation: str) -> list[Sample]:
    """How long each span of an operation took."""
    return [
        Sample(run.trace_id, run.start_unix_nano, (run.end_unix_nano - run.start_unix_nano) / 1e6)
        for run in witness.runs(service, operation)
    ]


def gaps_ms(parents: Sequence[Run], children: Sequence[Run]) -> list[Sample]:
    """From the start of each parent to the start of its child."""
    started = {run.span_id: run.start_unix_nano for run in parents}
    return [
        Sample(
            run.trace_id,
            started[run.parent_span_id],
            (run.start_unix_nano - started[run.parent_span_id]) / 1e6,
        )
        for run in children
        if run.parent_span_id in started
    ]


def passages_ms(parents: Sequence[Run], children: Sequence[Run]) -> list[Sample]:
    """From the start of each parent to the end of its child."""
    started = {run.span_id: run.start_unix_nano for run in parents}
    return [
        Sample(
            run.trace_id, started[run.parent_span_id], (run.end_unix_nano - started[run.parent_span_id]) / 1e6
        )
        for run in children
        if run.parent_span_id in started
    ]


def counts(runs: Sequence[Run]) -> list[Sample]:
    """How many spans of an operation each trace has."""
    first: dict[int, int] = {}
    number: dict[int, int] = {}
    for run in runs:
        first[run.trace_id] = min(run.start_unix_nano, first.get(run.trace_id, run.start_unix_nano))
        number[run.trace_id] = number.get(run.trace_id, 0) + 1
    return [Sample(trace_id, first[trace_id], count) for trace_id, count in number.items()]


def failures(runs: Sequence[Run]) -> list[Sample]:
    """1 for a failed span, 0 for another."""
    return [Sample(run.trace_id, run.start_unix_nano, float(run.failed)) for run in runs]


def trace_ids(numbers: Iterable[int]) -> list[str]:
    return list(dict.fromkeys(format(number, "032x") for number in numbers))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
