"""Weighs the sources against each other, by service.

    score = self_time + edge_time + 2 · time_share
          + max(½ · errors, ¼ · structure, ½ · repeats, ½ · logs, ⅖ · values)
          + ½ · max(0, 1 - S / 4) · metrics,    S the largest sum of the others

Units are of one size: r = 5 is a hundred times slower than usual, z = 8 is beyond all chance, and to hold
all the time that was lost counts as a slowdown of e². Failures, calls and messages are three views of one
behaviour, so the strongest speaks and they do not add up; a changed path alone is more often a consequence
than a cause. A metric is of a whole service, or of all that run in one process: it is heard as far as spans
and logs leave a doubt, and not where a behaviour is beyond all chance (S = 4). The weights were chosen on
half of the incidents of one public system, where every neighbouring choice does about as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.localise.attribution.everywhere import everywhere
from detectors.localise.attribution.slowdown import CLEAR_RATIO, slowdowns
from detectors.localise.attribution.stalls import STALLS
from detectors.localise.attribution.untaken import Untaken, untaken, waited_above
from detectors.localise.behaviour import Deviation, Events, deviations
from detectors.localise.carried import Carried
from detectors.localise.evidence.differences import differences, with_differences
from detectors.localise.evidence.edge_time import edge_ends, edge_time
from detectors.localise.evidence.errors import ERRORS, error_events, errors
from detectors.localise.evidence.everywhere import told_everywhere
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores
from detectors.localise.evidence.logs import LOGS, log_events, logs
from detectors.localise.evidence.metrics import METRIC, METRICS, metrics
from detectors.localise.evidence.repeats import REPEATS, repeat_events, repeats
from detectors.localise.evidence.self_time import SELF_TIME, self_time
from detectors.localise.evidence.structure import STRUCTURE, structure, structure_events
from detectors.localise.evidence.time_share import longest_holder, time_share
from detectors.localise.evidence.values import VALUES, values
from detectors.localise.failures import Failures
from detectors.localise.traces import Traces, Usual

WEIGHTS = {
    "self_time": 1.0,
    "edge_time": 1.0,
    "time_share": 2.0,
    ERRORS: 0.5,
    STRUCTURE: 0.25,
    REPEATS: 0.5,
    LOGS: 0.5,
    VALUES: 0.4,
    METRICS: 0.5,
}
SOURCES = (*WEIGHTS, STALLS)  # the last only shares out the lost time
_ONE_VIEW = (ERRORS, STRUCTURE, REPEATS, LOGS, VALUES)
_CAUSES_MAX = 5
# The confidence in a cause. Low: most of the time went there, which may be as usual; or everything is slower.
NORMAL, LOW = "normal", "low"
_NO_DOUBT = 4.0
_LEAST_SHARE = 0.02  # share of all scores; with less a cause is noise
_BEHAVIOUR: dict[
    str, tuple[Callable[[Traces, Carried], Events], Callable[[Traces, list[Deviation]], Scores]]
] = {
    STRUCTURE: (structure_events, structure),
    REPEATS: (repeat_events, repeats),
    LOGS: (log_events, logs),
}


class Analysis(NamedTuple):
    """The analysis of some traces.

    causes: one for each service, best first; `operation` is the service's worst.
    differences: the attributes that set these traces apart, strongest first.
    """

    causes: list[dict[str, Any]]
    differences: list[dict[str, Any]]


def localise(
    spans: pa.Table,
    usual: Usual,
    logs: pa.Table | None = None,
    attributes: pa.Table | None = None,
    *,
    moved: pa.Table | None = None,
    sources: Collection[str] = SOURCES,
    causes_max: int = _CAUSES_MAX,
) -> list[dict[str, Any]]:
    """The causes of `analyse`."""
    found = analyse(spans, usual, logs, attributes, moved=moved, sources=sources, causes_max=causes_max)
    return found.causes


def analyse(
    spans: pa.Table,
    usual: Usual,
    logs: pa.Table | None = None,
    attributes: pa.Table | None = None,
    *,
    moved: pa.Table | None = None,
    sources: Collection[str] = SOURCES,
    causes_max: int = _CAUSES_MAX,
) -> Analysis:
    """
    Args:
        spans: the incident's traces, whole; columns `traces.SPAN_COLUMNS`.
        usual: the baselines and usual traces to compare with.
        logs: of these traces; columns `traces.LOG_COLUMNS`.
        attributes: of these spans; columns `traces.ATTRIBUTE_COLUMNS`.
        moved: the metrics that moved meanwhile; columns `metrics.METRIC_COLUMNS`.
        sources: which evidence to use.
    """
    if not spans.num_rows:
        return Analysis([], [])
    traces = Traces.of(spans, usual, logs, with_stalls=STALLS in sources)
    carried = Carried.of(traces, attributes, usual.attributes)
    apart = differences(traces, carried)
    away = untaken(traces)
    failures = Failures.of(traces, carried, away) if ERRORS in sources else None
    if failures is not None:
        away = replace(away, waiting=[*away.waiting, *failures.waiting])
    own, edges = slowdowns(traces, away)
    ends = edge_ends(traces, own, edges)
    shared = time_share(traces, own, edges, ends)
    scores = {
        "self_time": self_time(traces, own),
        "edge_time": edge_time(traces, edges, ends),
        "time_share": shared.scores,
        **_behaviour(traces, carried, sources, away, failures),
        VALUES: values(traces, carried),
        METRICS: metrics(moved, traces),
    }
    chosen = {name: found for name, found in scores.items() if name in sources}
    causes = ranked_causes(chosen, shares=shared.shares, causes_max=causes_max)
    if len(causes) < causes_max and (held := longest_holder(traces, [*own, *edges], ends, shared.on_path)):
        (service, operation), finding = held
        if service not in {cause["service"] for cause in causes}:
            one = _cause(len(causes) + 1, service, 0.0, {operation: [finding]}, shared.shares.get(service))
            causes.append({**one, "confidence": LOW})
    if causes:
        causes[0]["evidence"] = with_differences(traces, causes[0]["evidence"], apart)
    shared_cause = everywhere(own, edges)
    if causes and shared_cause:  # the ranking stays for the reader, but accuses nobody
        causes = [{**cause, "confidence": LOW} for cause in causes]
        said = told_everywhere(shared_cause, traces, moved)
        causes[0]["evidence"] = [*said, *causes[0]["evidence"]][: 2 * EVIDENCE_MAX]
    return Analysis(causes, [difference.as_row(traces) for difference in apart])


def _behaviour(
    traces: Traces, carried: Carried, sources: Collection[str], away: Untaken, failures: Failures | None
) -> dict[str, Scores]:
    chosen = {name: both for name, both in _BEHAVIOUR.items() if name in sources}
    found_events = {name: events(traces, carried) for name, (events, _) in chosen.items()}
    if failures is not None:
        found_events[ERRORS] = error_events(failures)
    in_vain = away.rows() if failures is None else np.r_[away.rows(), failures.theirs]
    found = deviations(traces, list(found_events.values()), waited_above(traces, in_vain))
    own = {name: [deviation for deviation in found if deviation.source == name] for name in found_events}
    scores = {name: judge(traces, own[name]) for name, (_, judge) in chosen.items()}
    if failures is not None:
        scores[ERRORS] = errors(traces, own[ERRORS], failures)
    return scores


def ranked_causes(
    scores: Mapping[str, Scores],
    *,
    weights: Mapping[str, float] = WEIGHTS,
    shares: Mapping[str, float],
    causes_max: int = _CAUSES_MAX,
) -> list[dict[str, Any]]:
    """The rows of `incidents.root_causes`.

    Args:
        shares: each service's part of the time that was lost; None in the row of a cause that is not about
            time.
    """
    total: dict[str, float] = defaultdict(float)
    strongest: dict[str, float] = defaultdict(float)
    findings: dict[str, dict[str, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    for name, found in scores.items():
        for service, score in found.services.items():
            if name in _ONE_VIEW:
                strongest[service] = max(strongest[service], weights[name] * score)
            elif name != METRICS:
                total[service] += weights[name] * score
    for service, score in strongest.items():
        total[service] += score
    doubt = max(1 - max(total.values(), default=0.0) / _NO_DOUBT, 0.0)
    for service, score in scores.get(METRICS, Scores()).services.items():
        total[service] += weights[METRICS] * doubt * score
    for name, found in scores.items():
        weight = weights[name] * (doubt if name == METRICS else 1.0)
        for (service, operation), finding in found.findings.items():
            findings[service][operation].append(replace(finding, score=weight * finding.score))
    least = _LEAST_SHARE * sum(total.values())
    # Names decide between equals, so that the order never depends on that of the spans.
    ranked = sorted(total, key=lambda service: (-total[service], service))
    named = [service for service in ranked if findings.get(service) and total[service] >= least]
    return [
        _cause(rank, service, total[service], findings[service], shares.get(service))
        for rank, service in enumerate(named[:causes_max], start=1)
    ]


def _guilt(own: list[Finding], operations: Mapping[str, list[Finding]]) -> float:
    """The score of an operation among those of its service.

    That others wait for it does not count where an operation of the service is slow by itself: behind one
    slow call the queue grows, and the wait of the others is longer than what they wait for.
    """
    slow = any(f.kind == SELF_TIME and f.score >= CLEAR_RATIO for found in operations.values() for f in found)
    return sum(finding.score for finding in own if not (slow and finding.queued))


def _cause(
    rank: int, service: str, score: float, operations: dict[str, list[Finding]], share: float | None
) -> dict[str, Any]:
    ranked = sorted(
        operations.items(),
        # A metric is no operation: it is named only where no span has evidence.
        key=lambda item: (item[1][0].kind == METRIC, -_guilt(item[1], operations), item[0]),
    )
    operation, main = ranked[0]
    others = [finding for _, found in ranked[1:] for finding in found]
    evidence: dict[tuple[str, str, str], dict[str, Any]] = {}
    for findings in (main, others):
        # In turns, so that other kinds of evidence come before more of the same kind.
        by_score = sorted(findings, key=lambda f: -f.score)
        turns = zip_longest(*(finding.evidence for finding in by_score))
        for item in (item for turn in turns for item in turn if item is not None):
            evidence.setdefault((item["kind"], item["span_id"], item["text"]), item)
    return {
        "rank": rank,
        "service": service,
        "operation": operation,
        "score": round(score, 4),
        "share": round(share, 4) if share else None,
        "kind": max(main, key=lambda f: f.score).kind,
        "confidence": NORMAL,
        "evidence": list(evidence.values())[: 2 * EVIDENCE_MAX],
    }
