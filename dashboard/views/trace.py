"""Any trace by its id: waterfall, what is over its baseline, logs, links, explanation, download."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import data, otlp
from dashboard import format as fmt
from dashboard.components.waterfall import waterfall
from dashboard.components.waterfall.span_details import Extras
from dashboard.markup import page, table, tag
from dashboard.triage import Subject, plural
from dashboard.views import comparison, explanation, frame, logs
from dashboard.views.span_extras import read_extras
from dashboard.views.status import to

_TRACE_ID = re.compile(r"^[0-9a-f]{32}$")
EXCESS_SHOWN = 12
REFRESH_S = 15.0  # spans of a trace may still arrive
_CLOCK_SEEN_NS = 1_000_000  # a smaller difference shifts no bar that anybody looks at
_CLOCKS_SHOWN = 3


def render() -> None:
    trace_id = str(st.query_params.get("id") or "").strip().lower()
    if not trace_id:
        _ask(
            "Open a trace",
            "Paste the 32 hexadecimal digits of a trace id into the box above, or search traces.",
        )
        return
    if not _TRACE_ID.match(trace_id):
        _ask(
            "This is not a trace id",
            f"A trace id has 32 hexadecimal digits; {fmt.plain(trace_id, 60)!r} has not. "
            "Paste one into the box above.",
        )
        return
    frame.region(f"trace-{trace_id}", "The trace", lambda: _read(trace_id), _draw, REFRESH_S)
    found = frame.kept(f"trace-{trace_id}")
    if isinstance(found, dict):
        _tabs(trace_id, found)


def _ask(title: str, text: str) -> None:
    st.html(
        page(
            tag("div", title, css="title"),
            tag("div", text, css="muted"),
            tag("div", to("Search traces →", "traces")),
            css="panel",
        )
    )


def _read(trace_id: str) -> dict[str, Any]:
    return {"trace": data.trace(frame.api_url(), trace_id), "more": Extras()}


def _draw(found: dict[str, Any]) -> None:
    trace = found["trace"]
    st.html(head(trace))
    asked = st.query_params.get("span")
    waterfall(
        trace,
        highlight=[asked] if asked else [],
        key=f"waterfall-{trace['trace_id']}",
        rows=24,
        more=lambda: _more(found),
    )


def _more(found: dict[str, Any]) -> Extras:
    """Read while the picture is drawn."""
    found["more"] = read_extras(found["trace"], found["more"])
    more: Extras = found["more"]
    return more


def head(trace: Mapping[str, Any]) -> str:
    """Root, length, size, errors and when. Pure."""
    spans = trace["spans"]
    root = next((span for span in spans if not span.get("parent_span_id")), spans[0])
    errors = sum(span.get("status_code") == "ERROR" for span in spans)
    anomalous = sum(bool(span.get("anomaly_ids")) for span in spans)
    started = fmt.from_nano(
        min(int(span["start_unix_nano"]) - int(span.get("clock_ahead_ns") or 0) for span in spans)
    )
    parts: list[object] = [
        tag(
            "span", f"{fmt.plain(root['service_name'], 80)}: {fmt.plain(root['span_name'], 120)}", css="title"
        ),
        tag(
            "div",
            f"{fmt.duration(trace.get('duration_ns'))} · {plural(trace.get('span_count'), 'span')} in "
            f"{plural(len(trace.get('services') or []), 'service')} · {plural(errors, 'error')} · "
            f"{plural(anomalous, 'anomalous span')} · {started:%Y-%m-%d} {fmt.clock_of(started)} · ",
            tag("code", trace["trace_id"]),
            css="muted",
        ),
    ]
    if said := _clocks(spans):
        parts.append(tag("div", said, css="muted"))
    return page(*parts)


def _clocks(spans: Sequence[Mapping[str, Any]]) -> str:
    """The services whose clocks differ from the root's by enough to be seen, the worst first. Pure."""
    ahead: dict[str, int] = {}
    for span in spans:
        name, off_ns = span["service_name"], int(span.get("clock_ahead_ns") or 0)
        if abs(off_ns) > max(abs(ahead.get(name, 0)), _CLOCK_SEEN_NS):
            ahead[name] = off_ns
    if not ahead:
        return ""
    worst = sorted(ahead, key=lambda name: (-abs(ahead[name]), name))
    named = [f"{fmt.plain(name, 80)}: {fmt.clock_off(ahead[name])}" for name in worst[:_CLOCKS_SHOWN]]
    more = (
        f", and {plural(len(worst) - _CLOCKS_SHOWN, 'other service')}" if len(worst) > _CLOCKS_SHOWN else ""
    )
    return f"Clocks differ ({', '.join(named)}{more}): spans are drawn where their callers waited for them."


def _tabs(trace_id: str, found: Mapping[str, Any]) -> None:
    trace = found["trace"]
    titles = ["Over the baseline", "Compare", "Explanation", f"Logs ({len(found['more'].logs)})", "Download"]
    asked = titles[1] if "with" in st.query_params else None
    over, compared, explained, lines, download = st.tabs(
        titles, key=f"trace-tabs-{trace_id}", default=asked, on_change="rerun"
    )
    if over.open:
        with over:
            st.html(excess_table(trace))
    if compared.open:
        with compared:
            comparison.show(trace)
    if explained.open:
        with explained:
            _explain(trace_id)
    if lines.open:
        with lines:
            st.html(logs.lines_markup(found["more"].logs, with_trace=False))
    if download.open:
        with download:
            _download(trace, found["more"].links)


def excess_table(trace: Mapping[str, Any]) -> str:
    """Spans by their time over the baseline, the critical path first: only it delays the whole. Pure."""
    over = [span for span in trace["spans"] if (span.get("excess_ns") or 0) > 0]
    over.sort(key=lambda span: (not span["on_critical_path"], -span["excess_ns"]))
    if not over:
        return page(
            tag("div", "No span took longer than is usual for it, or none has a baseline yet.", css="muted")
        )
    lines = [
        (
            to(fmt.plain(span["span_name"], 120), "trace", id=trace["trace_id"], span=span["span_id"]),
            to(fmt.plain(span["service_name"], 80), "services", service=span["service_name"]),
            "on the critical path" if span["on_critical_path"] else "",
            fmt.duration(span["duration_ns"]),
            fmt.duration((span.get("baseline") or {}).get("p50_ns")),
            f"+{fmt.duration(span['excess_ns'])}",
            f"{span['percentile']:.4g}" if span.get("percentile") is not None else fmt.DASH,
            fmt.sigma(span.get("sigma")),
        )
        for span in over[:EXCESS_SHOWN]
    ]
    head_row = [
        ("Span", "l wrap"), ("Service", "l"), ("Path", "l"), ("Took", ""), ("Usually", ""), ("Over", ""),
        ("Percentile", ""), ("σ", ""),
    ]  # fmt: skip
    return page(table(head_row, lines))


def _explain(trace_id: str) -> None:
    def read() -> dict[str, Any]:
        return data.explanation(
            frame.api_url(), "trace", trace_id, frame.settings().dashboard_analyze_timeout_s
        )

    frame.region(
        f"trace-explained-{trace_id}",
        "The explanation",
        read,
        lambda said: explanation.show(Subject("trace", trace_id), said),
        60.0,
        show_age=False,
    )


def _download(trace: Mapping[str, Any], links: Sequence[Mapping[str, Any]]) -> None:
    by_span: dict[str, list[tuple[str, str]]] = {}
    for link in links:
        by_span.setdefault(str(link["span_id"]), []).append((link["linked_trace_id"], link["linked_span_id"]))
    st.download_button(
        "OTLP JSON",
        lambda: otlp.trace_json(trace, by_span),
        file_name=f"{trace['trace_id']}.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
    )
    cut = trace.get("truncated")
    st.caption(
        "`spyhop replay FILE` sends it to any OTLP receiver."
        + (" Only the spans that are shown are in it: this trace is cut." if cut else "")
    )
