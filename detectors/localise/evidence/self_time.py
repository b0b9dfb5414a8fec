"""Scores services whose own operations are slower than usual: root mean square of r over them.

Mean rather than most, since a starved service is slow in all it does and one slow operation of many may be
a poor sample; square, so that one operation that is a hundred times slower is not lost among many that are
not. An operation during which everything stood still (`stalls`) is enough for its service: the others
ran as always between the stalls. Source of r: `detectors.localise.attribution.slowdown`.
"""

from __future__ import annotations

import math
from collections import defaultdict

from detectors.localise.attribution.slowdown import Slow
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.model.text import duration_text

SELF_TIME = "self_time"
_LEAST_RATIO = 0.22  # 1.25 times


def self_time(traces: Traces, own: list[Slow]) -> Scores:
    """Scores in units of r."""
    scores = Scores()
    squares: dict[str, float] = defaultdict(float)
    weights: dict[str, float] = defaultdict(float)
    alone: dict[str, float] = defaultdict(float)
    for slow in own:
        if not slow.usual.sample_count:
            continue
        service = slow.key.service_name
        if slow.held_ns is not None:
            alone[service] = max(alone[service], slow.ratio)
        squares[service] += slow.weight * slow.ratio**2
        weights[service] += slow.weight
        if slow.peak >= _LEAST_RATIO:
            scores.add((service, slow.key.operation), own_finding(traces, slow, slow.peak))
    for service, weight in weights.items():
        scores.services[service] = max(math.sqrt(squares[service] / weight), alone[service])
    return scores


def own_finding(traces: Traces, slow: Slow, score: float) -> Finding:
    """The spans with the most self time, with the usual self time."""
    usual_ns = slow.usual.quantile(0.5) if slow.usual.sample_count else 0.0
    items = []
    for i in slow.worst(EVIDENCE_MAX):
        observed = float(slow.values_ns[i])
        took = f"took {duration_text(observed)} of its own, usually {duration_text(usual_ns)}"
        if slow.held_ns is not None:
            took += f"; everything else stood still and lost {duration_text(float(slow.held_ns[i]))} together"
        items.append(
            evidence(
                SELF_TIME, traces.span(int(slow.rows[i])), f"{slow.key.operation} {took}",
                observed=observed, expected=usual_ns, unit="ns",
            )
        )  # fmt: skip
    return Finding(score, SELF_TIME, items)
