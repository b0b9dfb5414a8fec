"""Everything slower at once: what all operations share is the cause, and no single one of them.

An operation is slower when the median of its self times is at least 1.5 times its usual median. Everything is
slower when nine of ten operations are, in at least three services, and none stands out: the largest factor is
at most three times the median one. A slow operation makes its callers wait, but leaves their self times as
they were, so one guilty operation never looks like this; a saturated host, a throttled processor or a stalled
disk does. Operations of which too little is known, or whose self time is a few microseconds, are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.localise.attribution.slowdown import Slow
from detectors.localise.evidence.finding import evidence
from detectors.localise.evidence.metrics import METRIC_COLUMNS
from detectors.localise.traces import Traces
from detectors.metrics.resource import is_resource

# Kinds of evidence: all is slower; a resource of a machine or process that rose meanwhile.
EVERYWHERE, SATURATED = "everything_slower", "host_saturated"
_SLOWER = 1.5
_LEAST_SHARE = 0.9
_LEAST_OPERATIONS, _LEAST_SERVICES = 4, 3
_STANDS_OUT = 3.0  # times the median factor
_LEAST_SPANS, _LEAST_KNOWN = 5, 20
_LEAST_USUAL_NS = 20_000.0  # below, a clock's steps and the SDK's own work are most of it
_PRESSURE = re.compile(r"cpu|load|memory|mem\b|swap|pressure|throttl|disk|i/?o", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Everywhere:
    """The operations that were compared.

    slower: of `operations` in `services`; factor: the median of their medians over the usual ones.
    row: the span with the most self time.
    """

    slower: int
    operations: int
    services: int
    factor: float
    row: int

    @property
    def text(self) -> str:
        """
        >>> Everywhere(8, 9, 4, 2.94, 0).text
        '8 of 9 operations in 4 services take 2.9 times their usual own time, and none stands out'
        """
        return (
            f"{self.slower} of {self.operations} operations in {self.services} services take"
            f" {self.factor:.1f} times their usual own time, and none stands out"
        )


def everywhere(own: list[Slow]) -> Everywhere | None:
    """
    Args:
        own: the self times of the incident, by operation.
    """
    known = [
        slow
        for slow in own
        if slow.held_ns is None
        and len(slow.rows) >= _LEAST_SPANS
        and slow.usual.sample_count >= _LEAST_KNOWN
        and slow.usual.quantile(0.5) >= _LEAST_USUAL_NS
    ]
    if len(known) < _LEAST_OPERATIONS:
        return None
    factors = np.array([float(np.median(slow.values_ns)) / slow.usual.quantile(0.5) for slow in known])
    slower = factors >= _SLOWER
    typical = float(np.median(factors))
    services = {slow.key.service_name for slow, is_slower in zip(known, slower, strict=True) if is_slower}
    if (
        slower.mean() < _LEAST_SHARE
        or len(services) < _LEAST_SERVICES
        or factors.max() > _STANDS_OUT * typical
    ):
        return None
    worst = max(known, key=lambda slow: float(slow.values_ns.max()))
    row = int(worst.rows[worst.worst(1)[0]])
    return Everywhere(int(slower.sum()), len(known), len(services), typical, row)


def told_everywhere(found: Everywhere, traces: Traces, moved: pa.Table | None) -> list[dict[str, Any]]:
    """The evidence that goes before that of any service.

    Args:
        moved: the metrics that moved meanwhile, columns `METRIC_COLUMNS`; the surest rise of a machine's
            resource among them is told as well.
    """
    said = evidence(
        EVERYWHERE, traces.span(found.row), found.text, observed=found.factor, expected=1.0, unit="times"
    )
    rows = [] if moved is None else moved.select(METRIC_COLUMNS).to_pylist()
    risen = [
        row
        for row in rows
        if is_resource(row["metric_name"])
        and _PRESSURE.search(row["metric_name"])
        and row["observed"] > row["expected"]
    ]
    if not risen:
        return [said]
    row = max(risen, key=lambda row: (row["sigma"], row["metric_name"]))
    text = f"{row['service_name']}: {row['text']}"
    saturated = evidence(
        SATURATED, row, text, observed=row["observed"], expected=row["expected"], unit=row["unit"]
    )
    return [said, saturated]
