"""A service that all its callers wait for longer than usual; or one that waits longer for all it calls.

A slow edge by itself accuses both its ends. A service is called over many edges and calls over many: those
of the guilty one are slow together. So the callee's score is the root mean square of r over the edges that
lead to it, the caller's that over the edges that leave it (when it calls more than one service), and an edge
is charged to its ends in proportion to the squares of both. Source of r: `detectors.localise.slowdown`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from detectors.localise.evidence import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.slowdown import Slow
from detectors.localise.traces import OperationKey, Traces
from detectors.texts import duration_text

_LEAST_RATIO = 0.22  # 1.25 times


class Ends(NamedTuple):
    """How suspicious each service is as the one that is called, and as the one that calls."""

    callee: dict[str, float]
    caller: dict[str, float]

    def callee_share(self, slow: Slow, services: list[str]) -> float:
        """The part of an edge that is charged to the service it leads to."""
        assert slow.callee is not None
        called = self.callee.get(services[slow.callee], 0.0) ** 2
        calling = self.caller.get(slow.key.service_name, 0.0) ** 2
        return called / (called + calling) if called + calling else 1.0


def edge_ends(traces: Traces, edges: list[Slow]) -> Ends:
    """Mean r over the edges of each service, in and out."""
    into: dict[str, list[Slow]] = defaultdict(list)
    out: dict[str, list[Slow]] = defaultdict(list)
    for slow in edges:
        if slow.usual.sample_count and slow.callee is not None:
            into[traces.services[slow.callee]].append(slow)
            out[slow.key.service_name].append(slow)
    several = {service: found for service, found in out.items() if len({s.callee for s in found}) > 1}
    return Ends(
        {service: _mean(found) for service, found in into.items()},
        {service: _mean(found) for service, found in several.items()},
    )


def edge_time(traces: Traces, edges: list[Slow], ends: Ends) -> Scores:
    """Scores in units of r."""
    scores = Scores()
    for services in ends:
        for service, score in services.items():
            scores.services[service] = max(scores.services[service], score)
    for slow in edges:
        if slow.ratio >= _LEAST_RATIO:
            share = ends.callee_share(slow, traces.services)
            for part, operation in zip((share, 1 - share), edge_operations(traces, slow), strict=True):
                if part > 0.5:
                    scores.add(operation, edge_finding(traces, slow, slow.ratio * part))
    return scores


def edge_operations(traces: Traces, slow: Slow) -> tuple[tuple[str, str], tuple[str, str]]:
    """The operation that is called most over an edge, and the one that calls."""
    assert slow.answers is not None
    codes, counts = np.unique(traces.operation[slow.answers], return_counts=True)
    answering: OperationKey = traces.keys[int(codes[np.argmax(counts)])]
    return (answering.service_name, answering.operation), (slow.key.service_name, slow.key.operation)


def edge_finding(traces: Traces, slow: Slow, score: float) -> Finding:
    """The calls that waited longest, with what is usual."""
    usual_ns = slow.usual.quantile(0.5) if slow.usual.sample_count else 0.0
    assert slow.callee is not None
    callee = traces.services[slow.callee]
    items = []
    for i in slow.worst(EVIDENCE_MAX):
        observed = float(slow.values_ns[i])
        text = (
            f"{slow.key.operation} spent {duration_text(observed)} on the way to {callee} and back, "
            f"usually {duration_text(usual_ns)}"
        )
        items.append(
            evidence(
                "edge_time", traces.span(int(slow.rows[i])), text,
                observed=observed, expected=usual_ns, unit="ns",
            )
        )  # fmt: skip
    return Finding(score, "edge_time", items)


def _mean(edges: list[Slow]) -> float:
    squares = sum(slow.weight * slow.ratio**2 for slow in edges)
    return math.sqrt(squares / sum(slow.weight for slow in edges))
