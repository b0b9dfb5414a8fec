"""The explanation: summary, ranked causes, and the spans that support each claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import format as fmt
from dashboard.markup import Safe, join, outlined, page, prose, tag
from dashboard.triage import Subject
from dashboard.views.status import to

STEPS_SHOWN = 2  # the rest is one click away: at 3 a.m. two are enough


def show(subject: Subject, explanation: Mapping[str, Any]) -> None:
    """Verdict, causes with citations that lead to their spans, and the next steps."""
    st.html(markup(subject, explanation))
    more = (explanation.get("recommendations") or [])[STEPS_SHOWN:]
    if more:
        with st.expander(f"{len(more)} more step{'s' * (len(more) != 1)}"):
            st.html(page(tag("ol", *(tag("li", prose(step)) for step in more), start=STEPS_SHOWN + 1)))


def markup(subject: Subject, explanation: Mapping[str, Any]) -> str:
    """Summary, causes with their evidence, recommendations. Pure."""
    evidence = {item["evidence_id"]: item for item in explanation.get("evidence") or []}
    parts: list[object] = [_heading(explanation)]
    if explanation.get("notice"):
        parts.append(tag("div", f"▲ {fmt.plain(explanation['notice'])}", style="color:#FF9F43;margin:4px 0"))
    summary = prose(explanation.get("summary"))
    parts.append(tag("div", summary, style="margin:4px 0 6px;font-size:15px"))
    causes = explanation.get("root_causes") or []
    if causes:
        said = fmt.plain(explanation.get("summary") or "", 4000)
        listed = (_cause(subject, explanation, cause, evidence, said) for cause in causes)
        parts += [tag("div", "Likely causes", css="muted"), tag("ol", *listed)]
    recommended = (explanation.get("recommendations") or [])[:STEPS_SHOWN]
    if recommended:
        steps = (tag("li", prose(step)) for step in recommended)
        parts += [tag("div", "Do next", css="muted"), tag("ol", *steps)]
    return page(*parts, css="panel")


def _heading(explanation: Mapping[str, Any]) -> Safe:
    source = explanation.get("source")
    written = (
        f"narrated by {fmt.plain(explanation.get('model') or 'a model', 60)}"
        if source == "model"
        else "computed"
    )
    confidence = explanation.get("confidence")
    sure = f"confidence {confidence:.0%}" if isinstance(confidence, int | float) and confidence else ""
    return tag("div", tag("strong", "Verdict"), " ", outlined(written), " ", tag("span", sure, css="muted"))


def _cause(
    subject: Subject,
    explanation: Mapping[str, Any],
    cause: Mapping[str, Any],
    evidence: Mapping[str, Mapping[str, Any]],
    said: str,
) -> Safe:
    """Place, statement and citations; a sentence that the summary holds already is not said again."""
    place = " · ".join(fmt.plain(cause[key], 120) for key in ("service", "operation") if cause.get(key))
    cited = [evidence[identifier] for identifier in cause.get("evidence") or [] if identifier in evidence]
    statement = str(cause.get("statement") or "")
    repeated = statement and statement.rstrip(".") in said
    marks = [cited_mark(subject, explanation, item) for item in cited]
    lines = [
        tag("div", prose(item.get("statement")), css="muted")
        for item in cited
        if item.get("statement")
        and item["statement"] != statement
        and item["statement"].rstrip(".") not in said
    ]
    return tag(
        "li", tag("strong", place), "" if repeated else ": ", "" if repeated else prose(statement), " ",
        join(marks, " "), join(lines),
    )  # fmt: skip


def cited_mark(subject: Subject, explanation: Mapping[str, Any], item: Mapping[str, Any]) -> Safe:
    """`E1`, which selects its span in the picture, or opens the trace in which it is."""
    label = item["evidence_id"]
    if not item.get("span_id"):
        return outlined(label)
    key = "anomaly" if subject.kind == "anomaly" else "id"
    if item.get("trace_id") == explanation.get("trace_id") and subject.kind != "trace":
        target = to(label, "incident", **{key: subject.subject_id, "span": item["span_id"]})
    else:
        target = to(label, "trace", id=item.get("trace_id"), span=item["span_id"])
    observed = (
        fmt.quantity(item.get("observed"), item.get("unit")) if item.get("observed") is not None else ""
    )
    place = fmt.plain(item.get("operation") or item.get("service") or "", 80)
    return tag("span", target, css="tag", title=f"Show its span: {place} {observed}".strip())
