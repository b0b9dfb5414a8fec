"""The path from the cause to the symptom: a chain of calls and messages, each from stored spans.

A slow or failing span delays the span that waits for it: its parent, or the span that a message links it to.
So the path climbs from the cause's span towards the root. If the symptom lies on another branch, the path
turns at the common ancestor, since that span waits for the one branch and calls the other. Every edge comes
from stored spans. If the path does not reach the symptom, it ends and says so.
"""

from __future__ import annotations

from itertools import pairwise

from llm.analysis.case import Case
from llm.analysis.traced import TracedSpan, TracedTrace
from llm.explanation import Draft, Edge, EdgeKind, Evidence, Fact, Place, Propagation
from llm.redaction.redact import redact_name

MAX_EDGES = 30

NOWHERE = Propagation(trace_id=None, edges=(), reaches_symptom=False, note="no cause stands out")


def propagation(case: Case, evidence: Evidence, draft: Draft) -> Propagation:
    """The chain from the first cause of `draft` to the observed symptom, within the exemplar trace."""
    if not draft.root_causes or case.trace.root is None:
        return NOWHERE
    trace = case.trace
    trace_id = trace.spans[0].trace_id
    cause = draft.root_causes[0]
    facts = [fact for i in cause.evidence if (fact := evidence.fact(i))]
    start = _span_of(trace, facts, (cause.service, cause.operation))
    if start is None:
        return Propagation(
            trace_id=trace_id, edges=(), reaches_symptom=False,
            note="the cause has no span in this trace: its evidence lies in others",
        )  # fmt: skip
    symptom = evidence.fact(evidence.symptom)
    goal = (_span_of(trace, [symptom], None) if symptom else None) or trace.spans[0]
    if symptom is not None and symptom.span_id == start.span_id:
        goal = trace.spans[0]  # the symptom is the cause itself: then it delayed the whole trace
    way = _way(trace, start, goal)
    edges = tuple(
        Edge(source=_place(one), target=_place(other), kind=_kind(trace, one, other))
        for one, other in pairwise(way)
    )
    is_cut = len(edges) > MAX_EDGES
    reaches = way[-1].span_id == goal.span_id
    note = f"{len(edges) - MAX_EDGES} more edges" if is_cut else ""
    if not reaches:
        note = "the way from the cause ends before the symptom: a parent's span is not stored"
    return Propagation(trace_id=trace_id, edges=edges[:MAX_EDGES], reaches_symptom=reaches, note=note)


def _span_of(trace: TracedTrace, facts: list[Fact], place: tuple[str, str] | None) -> TracedSpan | None:
    """The span that a fact names, if it is in this trace; else the longest span of the same place."""
    for fact in facts:
        span = trace.by_id.get(fact.span_id)
        if span is not None and span.trace_id == fact.trace_id:
            return span
    places = {place} if place else {(fact.service, fact.operation) for fact in facts}
    same = [s for s in trace.spans if (redact_name(s.service), redact_name(s.operation)) in places]
    return max(same, key=lambda span: span.duration_ns, default=None)


def _way(trace: TracedTrace, start: TracedSpan, goal: TracedSpan) -> list[TracedSpan]:
    """Up from `start` to the first ancestor of `goal`, and down to `goal`; to the root if there is none."""
    up = _upwards(trace, start)
    down = _upwards(trace, goal)
    meeting = {span.span_id: index for index, span in enumerate(down)}
    for index, span in enumerate(up):
        if span.span_id in meeting:
            return up[: index + 1] + down[: meeting[span.span_id]][::-1]
    return up


def _upwards(trace: TracedTrace, span: TracedSpan) -> list[TracedSpan]:
    """The span and its ancestors; the producer that a consumer only links to counts as its parent."""
    producers = {wait.consumer.span_id: wait.producer for wait in trace.message_waits}
    found, seen = [span], {span.span_id}
    while True:
        last = found[-1]
        above = trace.by_id.get(last.parent_span_id or "") or producers.get(last.span_id)
        if above is None or above.span_id in seen:
            return found
        seen.add(above.span_id)
        found.append(above)


def _kind(trace: TracedTrace, source: TracedSpan, target: TracedSpan) -> EdgeKind:
    if target.parent_span_id == source.span_id:
        return "called_by"
    linked = any(
        {wait.producer.span_id, wait.consumer.span_id} == {source.span_id, target.span_id}
        for wait in trace.message_waits
    )
    is_message = {source.kind, target.kind} == {"CONSUMER", "PRODUCER"}
    return "message" if linked or is_message else "waits_for"


def _place(span: TracedSpan) -> Place:
    return Place(
        service=redact_name(span.service), operation=redact_name(span.operation), span_id=span.span_id
    )
