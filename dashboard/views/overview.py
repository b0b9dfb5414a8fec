"""Overview: what is broken now, since when and why; then rate, errors and duration of each service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import streamlit as st

from collector.errors import SpyhopError, Unavailable
from dashboard import data
from dashboard import format as fmt
from dashboard.charts import red
from dashboard.views import frame, status

BUCKET_S = 10
CHARTS_INTERVAL_S = 5.0
WHALE_BANNER_AGE = timedelta(minutes=5)
WHALES_SHOWN = 5


def render() -> None:
    frame.every(_now, frame.settings().dashboard_refresh_s)
    frame.every(_charts, max(CHARTS_INTERVAL_S, frame.settings().dashboard_refresh_s))


def _now() -> None:
    """Each part reads for itself: at 3 a.m. one failing part must not hide the others."""
    url = frame.api_url()
    services: list[dict[str, Any]] | None = None
    with frame.guarded("The state of the services"):
        health = data.health(url)
        services = health["services"]
        incidents = data.incidents(url)
        st.html(status.headline(health, incidents, frame.updated(health.get("generated_at"))))
        if not services and not incidents:
            _nothing_yet()
            return
    if services is None and not _reachable():
        return  # one panel has said so
    with frame.guarded("The incidents"):
        _troubles()
    if services:
        with frame.guarded("The services"):
            st.html(status.service_table(services, _series(), health.get("window_s") or 60))


def _reachable() -> bool:
    try:
        data.incidents(frame.api_url())
    except Unavailable:
        return False
    except SpyhopError:
        return True
    return True


def _troubles() -> None:
    """Incidents, whales and anomaly counts."""
    url = frame.api_url()
    incidents = data.incidents(url)
    whales = data.anomalies(url, detector="amount", limit=WHALES_SHOWN)
    banner = _banner_whale(whales)
    if banner:
        st.html(status.whale_banner(banner, frame.now()))
    left, right = st.columns([5, 3], gap="medium")
    with left:
        st.html(status.incident_cards(incidents, frame.now()))
    with right:
        st.html(status.severity_tiles(data.severity_counts(url)))
        st.html(status.whale_list(whales, frame.now()))


def _banner_whale(whales: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest whale while it is news: open and some minutes old at most."""
    for whale in whales:
        detected = fmt.parse_time(whale.get("detected_at"))
        if whale["state"] == "open" and detected and frame.now() - detected <= WHALE_BANNER_AGE:
            return whale
    return None


def _series() -> Any:
    window_s = frame.settings().dashboard_window_min * 60
    raw = data.red_series(frame.api_url(), window_s, BUCKET_S)
    return red.fill_gaps(raw, BUCKET_S, window_s, int(frame.now().timestamp() * 1000))


def _charts() -> None:
    if not _reachable():
        return  # the part above has said so
    with frame.guarded("The charts"):
        series = _series()
        if series.is_empty():
            return
        services = red.busiest(series)
        minutes = frame.settings().dashboard_window_min
        parts = [
            ("Rate, requests/s", red.rate_chart, "Requests a second of each service"),
            ("Errors, share of requests", red.error_chart, "Share of failed requests of each service"),
            ("Duration, p95 in ms", red.duration_chart, "95th percentile of the duration of each service"),
        ]
        for column, (title, chart, spoken) in zip(st.columns(3), parts, strict=True):
            with column:
                st.html(status.chart_title(f"{title}, last {minutes} min (UTC)"))
                st.altair_chart(chart(series, services, minutes), alt=f"{spoken}, last {minutes} minutes")
        st.html(status.chart_legend(services))


def _nothing_yet() -> None:
    st.subheader("No telemetry yet")
    st.write("Send OTLP to the collector. For most OpenTelemetry SDKs, this is enough:")
    st.code(
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n",
        language="bash",
    )
    st.write(
        "gRPC listens on port 4317. `spyhop serve` prints the addresses when they differ. "
        "To see it work without a system of your own, run `spyhop demo`."
    )
