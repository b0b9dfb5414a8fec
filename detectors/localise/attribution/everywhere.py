"""Everything slower at once: what all operations share is the cause, and no single one of them.

An operation is slower when the median of its self times is at least 1.5 times its usual median. Everything is
slower when nine of ten operations are, in at least three services, and none stands out: the largest factor is
at most three times the median one.

A processor that others take as well is another shape: whoever waits stands in its queue before going on, and
what runs through is hardly interrupted. Beside two processes that computed on two processors, statements and
calls of an exchange took 25 to 99 ms more, whatever they took before (28 to 165 times as long), and the work
between them took what it always takes. So everything is slower, too, when nine of ten calls between services
are, nine of ten calls of what has no spans (a database), and the largest time on top is at most three times
the median one. A slow database, service or network delays its own calls only.

A slow operation makes its callers wait, but leaves their self times as they were, so one guilty operation
never looks like this. Operations of which too little is known, or whose time is a few microseconds, are left
out. Trials: `detectors/DECISIONS.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.localise.attribution.slowdown import Slow
from detectors.stats.arrays import FloatArray

_SLOWER = 1.5
_LEAST_SHARE = 0.9
_LEAST_OPERATIONS, _LEAST_SERVICES = 4, 3
_STANDS_OUT = 3.0  # times the median factor, or the median of the times on top
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


def everywhere(own: list[Slow], edges: list[Slow]) -> Everywhere | None:
    """
    Args:
        own: the self times of the incident, by operation.
        edges: the times between two services.
    """
    work = _known([slow for slow in own if slow.held_ns is None])
    calls = _known([slow for slow in own if slow.key.span_kind == "CLIENT"])
    between = _known(edges)
    factors, on_top = _factors(work), _on_top([*between, *calls])
    if _mostly(work) and _alike(factors):
        found = work
    elif between and _mostly(between) and (not calls or _mostly(calls)) and _alike(on_top):
        found, factors = [*between, *calls], _factors([*between, *calls])
    else:
        return None
    slower = [slow for slow, factor in zip(found, factors.tolist(), strict=True) if factor >= _SLOWER]
    services = {slow.key.service_name for slow in slower}
    if len(found) < _LEAST_OPERATIONS or len(services) < _LEAST_SERVICES:
        return None
    worst = max(found, key=lambda slow: float(slow.values_ns.max()))
    row = int(worst.rows[worst.worst(1)[0]])
    return Everywhere(len(slower), len(found), len(services), float(np.median(factors)), row)


def _known(times: list[Slow]) -> list[Slow]:
    return [
        slow
        for slow in times
        if len(slow.rows) >= _LEAST_SPANS
        and slow.usual.sample_count >= _LEAST_KNOWN
        and slow.usual.quantile(0.5) >= _LEAST_USUAL_NS
    ]


def _factors(times: list[Slow]) -> FloatArray:
    return np.array([float(np.median(slow.values_ns)) / slow.usual.quantile(0.5) for slow in times])


def _on_top(times: list[Slow]) -> FloatArray:
    return np.array([float(np.median(slow.values_ns)) - slow.usual.quantile(0.5) for slow in times])


def _mostly(times: list[Slow]) -> bool:
    return bool((_factors(times) >= _SLOWER).mean() >= _LEAST_SHARE) if times else False


def _alike(values: FloatArray) -> bool:
    """Whether none stands out."""
    return bool(len(values) and values.max() <= _STANDS_OUT * np.median(values))
