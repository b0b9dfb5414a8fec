"""Scores services that all callers wait for longer, and services that wait longer for all they call.

A slow edge alone accuses both its ends. A service is called over many edges and calls over many: those
of the guilty one are slow together. So the callee's score is the root mean square of r over the edges that
lead to it, the caller's that over the edges that leave it (when it calls more than one service), and an edge
is charged to its ends in proportion to the squares of both. Where the direction says that the sender held
the calls (`detectors.localise.attribution.direction`), the callee counts less and a caller of a single
service counts too, both the less the more services have to wait for the callee: several senders are hardly
slow at the same time by chance. So it is where a caller *pauses* (a collection, an event loop that is held
up): a pause meets whatever it waits for, and most of the services it calls show delays of one size that they
usually never do. Its own work counts as one of them: where the bulk of a caller's self times has grown by as
much, it waits for others late for the same reason. Source of r: `detectors.localise.attribution.slowdown`.

Slow *connecting* (names, handshakes, a queue in front of the callee) also shows before the call arrives. A
caller that is slow to send is so to whomever it calls. So where d of its calls to one service are delayed and
none of m to others, the callee holds them if a caller's own delays would hardly have missed those m:
(n / (n + m))^d <= 1%, with n calls to that service.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from detectors.localise.attribution.slowdown import CLEAR_RATIO, Slow
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.model.operation import Operation
from detectors.model.text import duration_text

_LEAST_RATIO = 0.22  # 1.25 times
_BEYOND_QUANTILE, _BEYOND_FACTOR, _LEAST_EXCESS_NS = 0.99, 1.25, 1e6  # as in `slowdown`
_MET_MIN, _MET_SHARE, _SAME_SIZE = 2, 0.66, 0.25
_OWN_SIZE = 0.5  # of the largest loss on its edges
_MISSED_CHANCE = 0.01  # that a caller's own delays miss all its other calls
_MOSTLY = 0.5  # of a delay


class Ends(NamedTuple):
    """The score of each service as callee, and as caller."""

    callee: dict[str, float]
    caller: dict[str, float]

    def callee_share(self, slow: Slow, services: list[str]) -> float:
        """The part of an edge that is charged to the service it leads to."""
        assert slow.callee is not None
        called = self.callee.get(services[slow.callee], 0.0) ** 2
        calling = self.caller.get(slow.key.service_name, 0.0) ** 2
        return called / (called + calling) if called + calling else 1.0


def edge_ends(traces: Traces, own: list[Slow], edges: list[Slow]) -> Ends:
    """Mean r over the edges of each service, in and out.

    Args:
        own: self times, by operation.
    """
    into: dict[str, list[Slow]] = defaultdict(list)
    out: dict[str, list[Slow]] = defaultdict(list)
    for slow in edges:
        if slow.usual.sample_count and slow.callee is not None:
            into[traces.services[slow.callee]].append(slow)
            out[slow.key.service_name].append(slow)
    callers = {
        service: len({slow.key.service_name for slow in found if slow.peak >= _LEAST_RATIO}) or 1
        for service, found in into.items()
    }

    lost_ns: dict[str, float] = defaultdict(float)
    for slow in own:
        if slow.usual.sample_count and slow.effect >= CLEAR_RATIO:
            service = slow.key.service_name
            lost_ns[service] = max(lost_ns[service], slow.bulk_lost_ns)
    paused = {service for service, found in out.items() if _pauses(found, lost_ns[service])}
    connecting = {
        (service, callee)
        for service, found in out.items()
        for callee in {slow.callee for slow in found if slow.sender}
        if service not in paused and _met_alone(found, callee)
    }

    def blame(slow: Slow) -> float:
        """The sender's part of an edge."""
        assert slow.callee is not None
        if (slow.key.service_name, slow.callee) in connecting:
            return 0.0
        sender = 1.0 if slow.key.service_name in paused else slow.sender
        return sender / callers[traces.services[slow.callee]]

    def sending(service: str, found: list[Slow]) -> float:
        if service in paused:  # one pause explains each of them
            return max(slow.ratio * blame(slow) for slow in found)
        several = len({slow.callee for slow in found}) > 1
        return _mean(found, [1.0 if several else blame(slow) for slow in found])

    return Ends(
        {service: _mean(found, [1 - blame(s) / 2 for s in found]) for service, found in into.items()},
        {service: sending(service, found) for service, found in out.items()},
    )


def _pauses(found: list[Slow], own_lost_ns: float) -> bool:
    """Whether most services that a caller calls had a delay of one size, unusual for its calls; its own work
    counts as one of them where it lost about as much."""
    if own_lost_ns >= _OWN_SIZE * max(slow.bulk_lost_ns for slow in found) > 0:
        return True
    usually = max(slow.usual.quantile(_BEYOND_QUANTILE) for slow in found)
    limit = usually * _BEYOND_FACTOR + _LEAST_EXCESS_NS
    delays: dict[int | None, float] = {}
    for slow in found:
        longest = float(slow.values_ns.max())
        lost = longest - slow.usual.quantile(0.5) if longest > limit else 0.0
        delays[slow.callee] = max(delays.get(slow.callee, 0.0), lost)
    largest = max(delays.values())
    met = sum(lost >= _SAME_SIZE * largest > 0 for lost in delays.values())
    return bool(met >= _MET_MIN and met >= _MET_SHARE * len(delays))


def _met_alone(found: list[Slow], callee: int | None) -> bool:
    """Whether the delays of a caller's calls meet one service alone, and its other calls too surely not."""
    calls = {True: 0, False: 0}
    late = {True: 0, False: 0}
    for slow in found:
        limit = slow.usual.quantile(_BEYOND_QUANTILE) * _BEYOND_FACTOR + _LEAST_EXCESS_NS
        calls[slow.callee == callee] += len(slow.rows)
        late[slow.callee == callee] += int((slow.values_ns > limit).sum())
    # Ordinary calls lie beyond that quantile now and then.
    chance = calls[True] / sum(calls.values())
    return late[False] <= 2 * (1 - _BEYOND_QUANTILE) * calls[False] and chance ** late[True] <= _MISSED_CHANCE


def edge_time(traces: Traces, edges: list[Slow], ends: Ends) -> Scores:
    """Scores in units of r."""
    scores = Scores()
    for services in ends:
        for service, score in services.items():
            scores.services[service] = max(scores.services[service], score)
    callees: dict[str, set[int | None]] = defaultdict(set)
    for slow in edges:
        callees[slow.key.service_name].add(slow.callee)
    for slow in edges:
        if slow.ratio >= _LEAST_RATIO:
            share = ends.callee_share(slow, traces.services)
            called, calling = edge_operations(traces, slow)
            # A caller of one service that sends late, or a service that is slow to accept: both are named.
            unsure = slow.sender > _MOSTLY and len(callees[slow.key.service_name]) == 1
            if share > 0.5 or unsure:
                scores.add(called, edge_finding(traces, slow, slow.ratio * share, queued=True))
            if share < 0.5:
                scores.add(calling, edge_finding(traces, slow, slow.ratio * (1 - share)))
    return scores


def edge_operations(traces: Traces, slow: Slow) -> tuple[tuple[str, str], tuple[str, str]]:
    """The operation that is called most over an edge, and its caller."""
    assert slow.answers is not None
    codes, counts = np.unique(traces.operation[slow.answers], return_counts=True)
    answering: Operation = traces.keys[int(codes[np.argmax(counts)])]
    return (answering.service_name, answering.operation), (slow.key.service_name, slow.key.operation)


def edge_finding(traces: Traces, slow: Slow, score: float, *, queued: bool = False) -> Finding:
    """The calls that waited longest, with the usual wait."""
    usual_ns = slow.usual.quantile(0.5) if slow.usual.sample_count else 0.0
    assert slow.callee is not None
    callee = traces.services[slow.callee]
    items = []
    there = slow.sender > _MOSTLY and slow.key.span_kind != "PRODUCER"
    for i in slow.worst(EVIDENCE_MAX):
        observed = float(slow.values_ns[i])
        took, usually = duration_text(observed), duration_text(usual_ns)
        text = f"{slow.key.operation} spent {took} on the way to {callee} and back, usually {usually}"
        if slow.waits:
            text = f"{slow.key.operation} waited {took} for {callee}, usually {usually}"
        elif there:
            text = f"{slow.key.operation} waits {took} before its call reaches {callee}, usually {usually}"
        items.append(
            evidence(
                "edge_time", traces.span(int(slow.rows[i])), text,
                observed=observed, expected=usual_ns, unit="ns",
            )
        )  # fmt: skip
    return Finding(score, "edge_time", items, queued)


def _mean(edges: list[Slow], parts: list[float]) -> float:
    squares = sum(slow.weight * (part * slow.ratio) ** 2 for slow, part in zip(edges, parts, strict=True))
    return math.sqrt(squares / sum(slow.weight for slow in edges))
