"""The evidence of one cause that the detectors ranked → facts about stored spans, in our words."""

from __future__ import annotations

from collections.abc import Mapping

from detectors.localise.dead import SPANS_IN_VAIN, SPANS_WITHOUT
from detectors.localise.evidence.errors import UNANSWERED
from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED
from detectors.model.anomaly import Anomaly
from llm.analysis.case import Case
from llm.analysis.facts import FactBook, asset, error_statement, place
from llm.analysis.own_text import own_or_quoted
from llm.analysis.traced import TracedSpan
from llm.analysis.units import percent, quantity
from llm.redaction.redact import quoted_name, quoted_text, redact_text

MAX_EVIDENCE_PER_CAUSE = 3


def add_localisation(book: FactBook, case: Case, ranked: Mapping[str, object]) -> list[str]:
    """Facts from the evidence of one ranked cause whose spans are stored."""
    listed = ranked.get("evidence")
    added: list[str] = []
    for item in listed[:MAX_EVIDENCE_PER_CAUSE] if isinstance(listed, list) else ():
        place_of = str(item.get("trace_id") or ""), str(item.get("span_id") or "")
        kind = redact_text(item.get("kind") or "localisation")
        span = case.span(*place_of)
        if span is None and kind == "metric":  # who sends only metrics: the anomaly is the fact
            known = (a for a in case.anomalies if (a.trace_id, a.span_id) == place_of)
            span = next((span_of(case, anomaly) for anomaly in known), None)
        if span is None:
            continue
        if kind == "metric":  # a metric of the service; the span only gives the time
            span = span._replace(operation=str(ranked.get("operation") or span.operation))
        if any(fact.span_id == span.span_id and fact.kind == kind for fact in book.facts):
            continue  # the exemplar trace already says so, with more figures
        if kind == "error":
            statement = error_statement(span, case.trace.spans)
        else:
            statement = _localised_statement(span, kind, item, str(ranked.get("service") or ""))
        observed, expected, unit = (
            number(item.get("observed")),
            number(item.get("expected")),
            item.get("unit"),
        )
        if kind == "error":  # a flag, not a figure
            observed, expected, unit = float(span.duration_ns), None, "ns"
        added.append(
            book.add(
                span, kind, statement, observed=observed, expected=expected,
                unit=asset(unit) if unit else None,
                sample_count=span.sample_count if unit == "ns" and expected is not None else None,
            )
        )  # fmt: skip
    return added


def _localised_statement(span: TracedSpan, kind: str, item: Mapping[str, object], service: str) -> str:
    """Our own words around the figures. The sender's words are in quotation marks."""
    observed, expected = number(item.get("observed")), number(item.get("expected"))
    if kind == UNANSWERED and observed is not None:
        failed = f"{percent(observed)} of the calls to it failed without an answer"
        if item.get("unit") == SPANS_WITHOUT:
            failed = f"{percent(observed)} of the spans that always called it lack it"
        elif item.get("unit") == SPANS_IN_VAIN:
            failed = f"{percent(observed)} of the spans that wait for it gave up"
        return f"{quoted_name(service)} does not answer: {failed}, {place(span)} among them"
    told = quoted_text(item.get("text") or "")
    in_words = {
        EVERYWHERE: own_or_quoted(str(item.get("text") or "")),
        SATURATED: f"Meanwhile {told}",
        "metric": f"{quoted_name(span.service)}: {told}",  # of the service; the span only gives the time
    }
    unit = asset(item.get("unit") or "")
    # A figure that is no time does not say of what it is: "had 5,012, usually 6.57". The text does.
    is_figure = observed is not None and expected is not None and (unit == "ns" or not item.get("text"))
    if kind in in_words or not is_figure:
        return in_words.get(kind, f"{place(span)}: {told}")
    assert observed is not None
    assert expected is not None
    verbs = {"self_time": "took {} of its own", "edge_time": "spent {} outside the service it called"}
    did = verbs.get(kind, "took {}" if unit == "ns" else "had {}").format(quantity(observed, unit))
    return f"{place(span)} {did}, usually {quantity(expected, unit)}"


def span_of(case: Case, anomaly: Anomaly) -> TracedSpan:
    known = case.span(anomaly.trace_id, anomaly.span_id)
    if known is not None:
        return known
    return TracedSpan(
        anomaly.trace_id, anomaly.span_id, None, anomaly.service_name, anomaly.operation, anomaly.span_kind,
        anomaly.start_unix_nano, anomaly.span_duration_ns, anomaly.span_duration_ns,
    )  # fmt: skip


def number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
