"""Tells that everything is slower at once, and which resource of a machine rose meanwhile."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from detectors.localise.attribution.everywhere import Everywhere
from detectors.localise.evidence.finding import evidence
from detectors.localise.evidence.metrics import METRIC_COLUMNS
from detectors.localise.traces import Traces
from detectors.metrics.resource import is_load_of_host

# Kinds of evidence.
EVERYWHERE, SATURATED = "everything_slower", "host_saturated"


def told_everywhere(found: Everywhere, traces: Traces, moved: pa.Table | None) -> list[dict[str, Any]]:
    """The evidence that goes before that of any service. All of it names the span that `found` does.

    Args:
        moved: the metrics that moved meanwhile, columns `METRIC_COLUMNS`; the surest rise of a machine's load
            among them is told as well.
    """
    span = traces.span(found.row)
    said = evidence(EVERYWHERE, span, text_of(found), observed=found.factor, expected=1.0, unit="times")
    rows = [] if moved is None else moved.select(METRIC_COLUMNS).to_pylist()
    risen = [row for row in rows if is_load_of_host(row["metric_name"]) and row["observed"] > row["expected"]]
    if not risen:
        return [said]
    row = max(risen, key=lambda row: (row["sigma"], row["metric_name"]))
    text = f"{row['service_name']}: {row['text']}"
    figures = {"observed": row["observed"], "expected": row["expected"], "unit": row["unit"]}
    return [said, evidence(SATURATED, span, text, **figures)]


def text_of(found: Everywhere) -> str:
    """
    >>> text_of(Everywhere(8, 9, 4, 2.94, 0))
    '8 of 9 operations in 4 services take 2.9 times their usual own time, and none stands out'
    """
    return (
        f"{found.slower} of {found.operations} operations in {found.services} services take"
        f" {found.factor:.1f} times their usual own time, and none stands out"
    )
