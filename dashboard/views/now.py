"""Now: open incidents with their start, effect and next step; then rate, errors, duration of each service."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data, hit
from dashboard import format as fmt
from dashboard.charts import red
from dashboard.condition import OVER, degrades, harm, in_order, phase
from dashboard.data.market import accounts_of
from dashboard.markup import page, prose, tag
from dashboard.shared_cause import shared_cause
from dashboard.triage import Subject, is_whale, plural
from dashboard.views import actions, clicks, frame, status
from dashboard.views.bar import resolve_s, trouble_since_ns

BUCKET_S = 10
CHARTS_INTERVAL_S = 5.0
STEPS_INTERVAL_S = 15.0
CARDS = 3
FAILED = ("status = error",)
WHALE_STATES = ("open", "acknowledged")
ACCOUNT_WITHIN_NS = 600_000_000_000  # of the whale's span: the other spans of its trace


def render() -> None:
    first = st.container()
    with first:
        frame.region("now", "The incidents", _read_troubles, _draw_troubles)
    steps = st.container()
    frame.region("services", "The services", _read_services, _draw_services)
    frame.region(
        "charts",
        "The charts",
        _series,
        _draw_charts,
        max(CHARTS_INTERVAL_S, frame.frame_interval_s()),
        show_age=False,
    )
    # Last, since an explanation may wait for a language model: all above stands by then.
    with steps:
        _next_steps()


def _read_troubles() -> dict[str, Any]:
    url = frame.api_url()
    health = data.health(url)
    incidents = data.incidents(url)
    now = frame.now()
    closing_s = resolve_s(health)
    ranked = in_order([row for row in incidents if degrades(row)], now, closing_s)
    going_on = [row for row in ranked if row.get("state") != "resolved"]
    whales = [
        row
        for state in WHALE_STATES
        for row in data.anomalies(url, detector="amount", states=(state,), limit=status.WHALES_SHOWN)
    ]
    return {
        "health": health,
        "closing_s": closing_s,
        "going_on": going_on,
        "ended": [row for row in ranked if row.get("state") == "resolved"],
        "others": [
            row for row in incidents if not degrades(row) and not is_whale(row) and row["state"] != "resolved"
        ],
        "whales": whales,
        "accounts": _accounts(whales),
        "users": data.user_red(url, frame.now_ns(), trouble_since_ns(incidents)),
        "singles": data.anomaly_groups(url, alone=True, states=("open", "acknowledged"), limit=1)["total"],
        "counts": data.severity_counts(url),
        "cards": {row["incident_id"]: _card_data(row) for row in going_on[:CARDS]},
    }


def _accounts(whales: list[dict[str, Any]]) -> dict[str, str]:
    """The account of each whale's trace, which its spans name and its anomaly does not hold."""
    at = {
        row["trace_id"]: fmt.parse_time(row.get("span_start_time")) for row in whales if row.get("trace_id")
    }
    times_ns = [int(moment.timestamp() * 1e9) for moment in at.values() if moment]
    if not times_ns:
        return {}
    around = (min(times_ns) - ACCOUNT_WITHIN_NS, max(times_ns) + ACCOUNT_WITHIN_NS)
    return accounts_of(frame.api_url(), tuple(sorted(at)), *around)


def _card_data(row: dict[str, Any]) -> dict[str, Any]:
    """Path and pulse of one incident; a trace that is gone leaves the path empty."""
    url = frame.api_url()
    pulse = data.incident_pulse(url, row["incident_id"])
    path: list[str] = []
    span_id = None
    if row.get("exemplar_trace_id"):
        try:
            trace = data.trace(url, row["exemplar_trace_id"])
        except SpyhopError:
            trace = None
        span = hit.guilty_span(trace, row.get("root_causes") or []) if trace else None
        if trace and span:
            path, span_id = hit.path_to(trace, span), span["span_id"]
    return {"pulse": pulse, "path": path, "span_id": span_id}


def _draw_troubles(found: dict[str, Any]) -> None:
    now = frame.now()
    going_on = found["going_on"]
    if not going_on and not found["health"]["services"] and not found["ended"]:
        _nothing_yet()
        return
    for row in going_on[:CARDS]:
        extra = found["cards"].get(row["incident_id"], {})
        stage = phase(row, now, found["closing_s"])
        lines = status.card_lines(
            row,
            harm=harm(found["users"]),
            path=extra.get("path") or [],
            trend=hit.trend(extra.get("pulse") or [], int(now.timestamp() * 1000)),
            others=[other for other in going_on if other is not row],
        )
        st.html(status.incident_card(row, stage, now, lines))
        with st.container(horizontal=True, vertical_alignment="center"):
            if extra.get("span_id"):
                st.html(
                    page(
                        tag(
                            "strong",
                            status.to(
                                "Open an example →" if shared_cause(row) else "Open the guilty span →",
                                "incident",
                                id=row["incident_id"],
                                span=extra["span_id"],
                            ),
                        )
                    ),
                    width="content",
                )
            actions.show(Subject("incident", row["incident_id"]), row)
    if len(going_on) > CARDS:
        st.html(
            page(
                *(
                    status.incident_line(row, phase(row, now, found["closing_s"]))
                    for row in going_on[CARDS:][:5]
                )
            )
        )
        if len(going_on) > CARDS + 5:
            st.html(
                page(status.to(f"{plural(len(going_on) - CARDS - 5, 'more open incident')} →", "incident"))
            )
    if not going_on:
        st.html(status.no_incident(found["ended"], found["singles"], now))
    if found["others"]:
        st.html(
            page(
                *(
                    status.incident_line(row, phase(row, now, found["closing_s"]))
                    for row in found["others"][:4]
                )
            )
        )
    if found["whales"]:
        st.html(status.whale_strip(found["whales"], found["accounts"], now))
    st.html(status.severity_tiles(found["counts"]))


def _next_steps() -> None:
    """The next two steps of the most urgent incident."""

    def read() -> dict[str, Any] | None:
        rows = _open_ranked()
        if not rows:
            return None
        said = data.explanation(
            frame.api_url(),
            "incident",
            rows[0]["incident_id"],
            frame.settings().dashboard_analyze_timeout_s,
        )
        return {"title": rows[0].get("title"), "said": said}

    def draw(found: dict[str, Any] | None) -> None:
        steps = (found or {}).get("said", {}).get("recommendations") or []
        if found and steps:
            st.html(
                page(
                    tag("div", f"Do next: {fmt.plain(found['title'] or '', 120)}", css="muted"),
                    tag("ol", *(tag("li", prose(step)) for step in steps[:2])),
                    css="panel",
                )
            )

    frame.region("steps", "The next steps", read, draw, STEPS_INTERVAL_S, show_age=False)


def _open_ranked() -> list[dict[str, Any]]:
    incidents = data.incidents(frame.api_url())
    return [
        row
        for row in in_order([row for row in incidents if degrades(row)], frame.now(), 120.0)
        if phase(row, frame.now()).name != OVER
    ]


def _read_services() -> dict[str, Any]:
    url = frame.api_url()
    incidents = data.incidents(url)
    open_ones = [row for row in incidents if row.get("state") != "resolved" and degrades(row)]
    return {
        "rows": data.service_red(url, frame.now_ns(), trouble_since_ns(incidents)),
        "troubled": {name for row in open_ones for name in row.get("services") or []},
        "series": _series(),
        "detection": data.health(url).get("detection") or {},
        "checks": data.readiness(url).get("checks") or {},
    }


def _draw_services(found: dict[str, Any]) -> None:
    if found["rows"]:
        st.html(status.service_table(found["rows"], found["series"], found["troubled"]))
        st.html(status.lag_line(found["detection"], found["checks"]))


def _window_s() -> int:
    return min(max(frame.window().length_s, 300), 86_400)


def _series() -> Any:
    window_s = _window_s()
    bucket_s = max(BUCKET_S, frame.window().bucket_s(180))
    raw = data.red_series(frame.api_url(), window_s, bucket_s)
    return red.fill_gaps(raw, bucket_s, window_s, int(frame.now().timestamp() * 1000))


def _draw_charts(series: Any) -> None:
    if series.is_empty():
        return
    services = red.busiest(series)
    minutes = _window_s() // 60
    parts = [
        ("Rate, requests/s", red.rate_chart, "Requests a second of each service", ()),
        ("Errors, share of requests", red.error_chart, "Share of failed requests of each service", FAILED),
        ("Duration, p95 in ms", red.duration_chart, "95th percentile of the duration of each service", ()),
    ]
    for column, (title, chart, spoken, conditions) in zip(st.columns(3), parts, strict=True):
        with column:
            st.html(status.chart_title(f"{title}, last {fmt.duration(minutes * 60e9)} (UTC)"))
            clicks.leads_to(
                chart(series, services, minutes),
                title,
                f"{spoken}, last {minutes} minutes",
                partial(_traces, conditions),
            )
    st.html(status.chart_legend(services))


def _traces(conditions: tuple[str, ...], point: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    return clicks.traces_of(str(point.get("service_name")), *conditions)


def _nothing_yet() -> None:
    """How to send, with the address of this server where it says so."""
    st.subheader("No telemetry yet")
    st.write("Send OTLP to the collector. For most OpenTelemetry SDKs, this is enough:")
    host = frame.api_host()
    st.code(
        f"export OTEL_EXPORTER_OTLP_ENDPOINT=http://{host}:4318\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n",
        language="bash",
    )
    st.write(
        "gRPC listens on port 4317. `spyhop serve` prints the addresses when they differ. "
        "To see it work without a system of your own, run `spyhop demo`."
    )
