"""An incident's effect: its path through a trace, its trend, further causes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard.shared_cause import shared_cause

MINUTE_MS = 60_000
WORSE, BETTER = 1.3, 0.7
SECOND_CAUSE_SCORE = 0.5  # of the first one's
PATH_STEPS_MAX = 6


def guilty_span(trace: Mapping[str, Any], causes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The span of the trace at which the first cause points: the one that its evidence cites, else the
    slowest of that operation, else the anomalous span with the most self time."""
    spans = trace["spans"]
    if causes:
        cited = {item.get("span_id") for item in causes[0].get("evidence") or [] if item.get("span_id")}
        by_id = [span for span in spans if span["span_id"] in cited]
        named = [
            span
            for span in spans
            if span["service_name"] == causes[0].get("service")
            and (not causes[0].get("operation") or span["span_name"] == causes[0]["operation"])
        ]
        for found in (by_id, named):
            if found:
                return _heaviest(found)
    flagged = [span for span in spans if span.get("anomaly_ids")]
    return _heaviest(flagged) if flagged else None


def _heaviest(spans: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return max(spans, key=_weight)


def _weight(span: Mapping[str, Any]) -> tuple[bool, int]:
    return span.get("status_code") == "ERROR", int(span.get("self_time_ns") or span.get("duration_ns") or 0)


def path_to(trace: Mapping[str, Any], span: Mapping[str, Any]) -> list[str]:
    """`kx-wallet order.submit.client`, …, down to the span: where each service is entered, and the span."""
    by_id = {each["span_id"]: each for each in trace["spans"]}
    chain = [span]
    while (parent := by_id.get(chain[-1].get("parent_span_id") or "")) and len(chain) < len(by_id):
        chain.append(parent)
    chain.reverse()
    kept = [
        each
        for index, each in enumerate(chain)
        if index == len(chain) - 1 or index == 0 or each["service_name"] != chain[index - 1]["service_name"]
    ]
    steps = [f"{fmt.plain(each['service_name'], 60)} {fmt.plain(each['span_name'], 80)}" for each in kept]
    if len(steps) > PATH_STEPS_MAX:
        return [*steps[:2], "…", *steps[-(PATH_STEPS_MAX - 3) :]]
    return steps


def trend(pulse: Sequence[tuple[int, int]], now_ms: int) -> str:
    """`getting worse: 12 anomalies in the last minute, 4 in the one before`."""
    newest = sum(count for at, count in pulse if now_ms - MINUTE_MS <= at)
    before = sum(count for at, count in pulse if now_ms - 2 * MINUTE_MS <= at < now_ms - MINUTE_MS)
    if not newest and not before:
        return "quiet: no anomaly began in the last two minutes"
    word = (
        "getting worse"
        if newest > WORSE * before
        else "getting better"
        if newest < BETTER * before
        else "steady"
    )
    return f"{word}: {newest} anomalies in the last minute, {before} in the one before"


def second_fault(incident: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """What may be a fault of its own inside or beside the incident; empty when nothing points there."""
    causes = incident.get("root_causes") or []
    parts = []
    if len(causes) > 1 and not shared_cause(incident):
        first, second = causes[0], causes[1]
        apart = second.get("service") != first.get("service")
        strong = (second.get("score") or 0.0) >= SECOND_CAUSE_SCORE * (first.get("score") or 0.0) > 0
        if apart and strong:
            place = " · ".join(
                fmt.plain(second[key], 80) for key in ("service", "operation") if second.get(key)
            )
            parts.append(f"{place} scores {second['score'] / first['score']:.0%} of the first cause")
    if others:
        parts.append(f"{len(others)} more open incident{'s' * (len(others) != 1)} at the same time")
    return "; ".join(parts)


def likely_start(incident: Mapping[str, Any]) -> str:
    """`SELECT wallets in kx-exchange, 84% of the excess, certainty normal`."""
    causes = incident.get("root_causes") or []
    if not causes:
        return "none stands out yet"
    if shared := shared_cause(incident):
        return shared
    first = causes[0]
    operation, service = (
        fmt.plain(first.get("operation") or "", 120),
        fmt.plain(first.get("service") or "", 80),
    )
    place = f"{operation} in {service}" if operation else service
    share = first.get("share")
    excess = f", {share:.0%} of the excess" if isinstance(share, int | float) and share > 0 else ""
    sure = fmt.plain(first.get("confidence") or "", 20)
    return f"{place}{excess}" + (f", certainty {sure}" if sure else "")
