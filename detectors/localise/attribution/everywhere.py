"""Everything slower at once: what all operations share is the cause, and no single one of them.

An operation is slower when the median of its self times is at least 1.5 times its usual median. Everything is
slower when nine of ten operations are, in at least three services, and none stands out: the largest factor is
at most three times the median one. A slow operation makes its callers wait, but leaves their self times as
they were, so one guilty operation never looks like this; a saturated host, a throttled processor or a stalled
disk does. Operations of which too little is known, or whose self time is a few microseconds, are left out.
Trials: `detectors/DECISIONS.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.localise.attribution.slowdown import Slow

_SLOWER = 1.5
_LEAST_SHARE = 0.9
_LEAST_OPERATIONS, _LEAST_SERVICES = 4, 3
_STANDS_OUT = 3.0  # times the median factor
_LEAST_SPANS, _LEAST_KNOWN = 5, 20
_LEAST_USUAL_NS = 20_000.0  # below, a clock's steps and the SDK's own work are most of it


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
