"""Scores services by failures beyond the usual ones, at the deepest failed span (`failures`).

Where no usual traces are at hand, failures count when at least half of the traces fail. A type of exception
that an operation never raised counts at once. Calls that nobody answers any more count for the service that
always answered them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.compute as pc

from detectors.localise.behaviour import Deviation, Events
from detectors.localise.dead import CALLS_FAILED, SPANS_IN_VAIN, SPANS_WITHOUT
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.failures import Failures
from detectors.localise.traces import Traces
from detectors.model.text import share_text
from detectors.stats.arrays import IntArray

ERRORS = "errors"
UNANSWERED = "unanswered"  # kind of evidence against a peer whose own spans are missing
_LOST = {
    CALLS_FAILED: "of the calls to it failed without an answer",
    SPANS_WITHOUT: "of them lack it",
    SPANS_IN_VAIN: "of them gave up",
}
_FAILING_TRACES_SHARE = 0.5  # fewer do not explain an incident
_SCORE_MAX = 8.0  # in units of z, when nothing usual is known


def error_events(failures: Failures) -> Events:
    """The spans that failed first in their call: a failure that only passes one on is no event."""
    rows = failures.rows
    return Events(
        ERRORS, rows, np.zeros(len(rows), dtype=np.int64), ["failed"], np.array([True]), np.array([False])
    )


def errors(traces: Traces, found: list[Deviation], failures: Failures) -> Scores:
    """Scores in units of z."""
    scores = Scores()
    if traces.incident.all():
        for operation, members in _without_usual(traces, failures.rows).items():
            _add(traces, scores, operation, float(members.pop()), np.array(members), failures)
        return scores
    for deviation in found:
        _add(traces, scores, deviation.operation, deviation.score, deviation.rows, failures)
    for (operation, kind), sigma in failures.unseen.items():
        rows = np.array(
            [
                row
                for row, raised in zip(failures.rows.tolist(), failures.exceptions, strict=True)
                if raised == kind and traces.operation[row] == operation and traces.incident[row]
            ],
            dtype=np.int64,
        )
        _add(traces, scores, operation, sigma, rows, failures)
    for dead in failures.dead:
        key = traces.keys[dead.operation]
        share = share_text(dead.share)
        text = f"{key.service_name} does not answer {dead.where}: {share} {_LOST[dead.unit]}"
        items = []
        for row in dead.rows[:EVIDENCE_MAX].tolist():
            span = traces.span(row)
            said = f"; {span['operation']} in {span['service_name']}: {span['status_message']}"
            items.append(
                evidence(
                    UNANSWERED, span, text + (said if span["status_message"] else ""),
                    observed=dead.share, expected=0.0, unit=dead.unit,
                )
            )  # fmt: skip
        scores.services[key.service_name] = max(scores.services[key.service_name], dead.z)
        scores.add((key.service_name, key.operation), Finding(dead.z, "error", items))
    return scores


def _without_usual(traces: Traces, rows: IntArray) -> dict[int, list[Any]]:
    """Rows by operation, the score last; empty when most traces do not fail."""
    traces_of = traces.table["trace_id"]
    all_count = pc.count_distinct(traces_of).as_py()
    failing_count = len({traces_of[int(row)].as_py() for row in rows})
    if failing_count < _FAILING_TRACES_SHARE * all_count:
        return {}
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows.tolist():
        found[int(traces.operation[row])].append(row)
    for members in found.values():
        members.append(_SCORE_MAX * len(members) / len(rows))
    return found


def _add(  # noqa: PLR0917  # as it says
    traces: Traces, scores: Scores, operation: int, score: float, rows: IntArray, failures: Failures
) -> None:
    key = traces.keys[operation]
    items = []
    places = np.searchsorted(failures.rows, rows[:EVIDENCE_MAX]).tolist()
    raised = [failures.exceptions[place] for place in places]
    for row, kind in zip(rows[:EVIDENCE_MAX].tolist(), raised, strict=True):
        span = traces.span(row)
        message = failures.messages.get(row) or span["status_message"]
        said = f": {message}" if message else ""
        what = f"raised {kind}" if kind else "failed"
        new = ", which it never did before" if (operation, kind) in failures.unseen else ""
        items.append(
            evidence(
                "error", span, f"{key.operation} {what}{said}{new}", observed=1.0, expected=0.0, unit="errors"
            )
        )
    scores.services[key.service_name] = max(scores.services[key.service_name], score)
    scores.add((key.service_name, key.operation), Finding(score, "error", items))
