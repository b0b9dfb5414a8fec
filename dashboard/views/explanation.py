"""The explanation: what happened, the ranked causes, and the spans each claim rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import format as fmt
from dashboard.markup import Safe, join, outlined, page, prose, tag
from dashboard.triage import Subject


def show(subject: Subject, explanation: Mapping[str, Any]) -> list[str]:
    """Draws it; returns the span ids that the reader asked to see."""
    st.html(markup(explanation))
    items = explanation.get("evidence") or []
    if items:
        with st.expander(f"All evidence ({len(items)})"):
            st.html(page(tag("div", *(_statement(item) for item in items))))
    here = evidence_in(explanation.get("trace_id"), items)
    if not here:
        return []
    picked = st.pills(
        "Show evidence in the trace",
        list(here),
        format_func=lambda identifier: evidence_label(here[identifier]),
        selection_mode="multi",
        key=f"evidence-{subject}",
    )
    return [here[identifier]["span_id"] for identifier in picked if identifier in here]


def evidence_in(trace_id: str | None, items: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Evidence id → evidence with a span in the shown trace; other traces' spans are not in the picture."""
    here = [item for item in items if item.get("span_id") and item.get("trace_id") == trace_id]
    return {item["evidence_id"]: item for item in here}


def evidence_label(item: Mapping[str, Any]) -> str:
    """`E1 SELECT wallets 152 ms`, escaped for a widget."""
    observed = (
        fmt.quantity(item.get("observed"), item.get("unit")) if item.get("observed") is not None else ""
    )
    return fmt.label(
        f"{item['evidence_id']} {item.get('operation') or item.get('service') or ''} {observed}".strip()
    )


def markup(explanation: Mapping[str, Any]) -> str:
    """Summary, causes with their evidence, recommendations. Pure."""
    evidence = {item["evidence_id"]: item for item in explanation.get("evidence") or []}
    parts: list[object] = [_heading(explanation)]
    if explanation.get("notice"):
        parts.append(tag("div", f"▲ {fmt.plain(explanation['notice'])}", style="color:#FF9F43;margin:4px 0"))
    parts.append(tag("div", prose(explanation.get("summary")), style="margin:4px 0 6px;font-size:15px"))
    causes = explanation.get("root_causes") or []
    if causes:
        parts += [
            tag("div", "Likely causes", css="muted"),
            tag("ol", *(_cause(cause, evidence) for cause in causes)),
        ]
    recommended = explanation.get("recommendations") or []
    if recommended:
        steps = (tag("li", prose(step)) for step in recommended)
        parts += [tag("div", "Do next", css="muted"), tag("ul", *steps)]
    return page(*parts, css="panel")


def _heading(explanation: Mapping[str, Any]) -> Safe:
    source = explanation.get("source")
    written = (
        f"narrated by {fmt.plain(explanation.get('model') or 'a model', 60)}"
        if source == "model"
        else "computed"
    )
    confidence = explanation.get("confidence")
    return tag(
        "div",
        tag("strong", "Explanation"),
        " ",
        outlined(written),
        " ",
        outlined(f"confidence {confidence:.0%}") if isinstance(confidence, int | float) else "",
    )


def _cause(cause: Mapping[str, Any], evidence: Mapping[str, Mapping[str, Any]]) -> Safe:
    place = " · ".join(fmt.plain(cause[key], 120) for key in ("service", "operation") if cause.get(key))
    cited = [evidence[identifier] for identifier in cause.get("evidence") or [] if identifier in evidence]
    confidence = cause.get("confidence")
    sure = f" ({confidence:.0%})" if isinstance(confidence, int | float) else ""
    # The fact that a cause restates is named beside it, not said twice.
    same = [item for item in cited if item.get("statement") == cause.get("statement")]
    marks = [outlined(item["evidence_id"]) for item in same]
    lines = [_statement(item) for item in cited if item not in same]
    statement = prose(cause.get("statement"))
    return tag("li", tag("strong", place), f"{sure}: ", statement, " ", join(marks), join(lines))


def _statement(item: Mapping[str, Any]) -> Safe:
    return tag("div", outlined(item["evidence_id"]), " ", prose(item.get("statement")), css="muted")
