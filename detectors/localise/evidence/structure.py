"""Scores services by missing calls and by calls never seen before, by operation."""

from __future__ import annotations

import numpy as np

from detectors.localise.behaviour import BEYOND_CHANCE_Z, Deviation, Events
from detectors.localise.carried import Carried
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.model.text import share_text
from detectors.trace.self_time import NO_PARENT

STRUCTURE = "structure"


def structure_events(traces: Traces, _carried: Carried | None = None, /) -> Events:
    """The operations that each span called."""
    child = np.flatnonzero(traces.parent != NO_PARENT)
    pairs = np.unique(traces.parent[child] * len(traces.keys) + traces.operation[child])
    counts = np.ones(len(traces.keys), dtype=np.bool_)
    labels = [f"{key.operation} in {key.service_name}" for key in traces.keys]
    callers, callees = pairs // len(traces.keys), pairs % len(traces.keys)
    return Events(STRUCTURE, callers, callees, labels, counts, counts, part_is_bad=True)


def structure(traces: Traces, found: list[Deviation]) -> Scores:
    """Scores in units of z, at most 8: the strongest deviation of each service."""
    scores = Scores()
    traces.prepare(int(row) for deviation in found for row in deviation.rows[:EVIDENCE_MAX])
    for deviation in found:
        key = traces.keys[deviation.operation]
        score = min(deviation.z, BEYOND_CHANCE_Z) * deviation.own
        verb = "called" if deviation.more else "did not call"
        usual = deviation.usual_share if deviation.more else 1 - deviation.usual_share
        share = deviation.share if deviation.more else 1 - deviation.share
        text = (
            f"{key.operation} {verb} {deviation.label}, as in {share_text(share)} of its spans, "
            f"usually in {share_text(usual)}"
        )
        items = [evidence(STRUCTURE, traces.span(int(row)), text) for row in deviation.rows[:EVIDENCE_MAX]]
        scores.services[key.service_name] = max(scores.services[key.service_name], score)
        scores.add((key.service_name, key.operation), Finding(score, STRUCTURE, items))
    return scores
