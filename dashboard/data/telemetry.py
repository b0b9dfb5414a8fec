"""Logs, metrics and links, by SQL over the HTTP API; each query bounded in time and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from collector.store.sqlfile import load_sql
from dashboard.data.connection import QUERIES, read

TTL_S = 1.5
# The parts that differ between two lines of one message: UUIDs, ids of eight or more letters and digits,
# numbers.
MASK = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|\b[0-9A-Za-z]*\d[0-9A-Za-z]{7,}\b|\d+"
LINES_MAX = 200
TEMPLATES_MAX = 100


@dataclass(frozen=True)
class LogFilters:
    """The filter of the log page; None and empty text let everything pass. Times in ns since 1970."""

    since: int
    until: int
    service: str | None = None
    least_severity: int = 0
    trace_id: str | None = None
    text: str = ""

    def params(self) -> dict[str, object]:
        return {
            "since": self.since,
            "until": self.until,
            "service": self.service,
            "least_severity": self.least_severity,
            "trace_id": self.trace_id,
            "text": self.text or None,
        }


def _rows(base_url: str, name: str, params: dict[str, object]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, name), params)
    ).to_dicts()
    return rows


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def log_lines(
    base_url: str, filters: LogFilters, template: str | None = None, limit: int = LINES_MAX
) -> list[dict[str, Any]]:
    """Lines, newest first: unix_nano (text), service_name, severity, trace_id, span_id, attributes, body."""
    more = {"template": template, "mask": MASK, "limit": limit}
    return _rows(base_url, "log_lines", {**filters.params(), **more})


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def log_templates(base_url: str, filters: LogFilters, limit: int = TEMPLATES_MAX) -> list[dict[str, Any]]:
    """Lines with numbers and ids masked, counted; warnings and errors first."""
    return _rows(base_url, "log_templates", {**filters.params(), "mask": MASK, "limit": limit})


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def log_histogram(base_url: str, since: int, until: int, service: str | None, bucket_s: int) -> pl.DataFrame:
    """bucket_ms, level (error, warning, other), line_count."""
    params = {"since": since, "until": until, "service": service, "bucket_s": bucket_s}
    return read(base_url, lambda client: client.sql(load_sql(QUERIES, "log_histogram"), params))


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def trace_logs(base_url: str, trace_id: str) -> list[dict[str, Any]]:
    return _rows(base_url, "trace_logs", {"trace_id": trace_id})


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def span_links(base_url: str, trace_id: str) -> list[dict[str, Any]]:
    """span_id, linked_trace_id, linked_span_id of spans of the trace that link elsewhere."""
    return _rows(base_url, "span_links", {"trace_id": trace_id})


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def span_origins(base_url: str, trace_id: str) -> list[dict[str, Any]]:
    """resource (JSON text), scope_name, scope_version, trace_state and the span_ids that share them."""
    return _rows(base_url, "span_origins", {"trace_id": trace_id})


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def genai_calls(base_url: str, trace_id: str) -> list[dict[str, Any]]:
    """Calls of language models in a trace: span_id, model, tokens, cost, prompt, completion, …"""
    return _rows(base_url, "genai_of_trace", {"trace_id": trace_id})


@st.cache_data(ttl=30.0, max_entries=32, show_spinner=False)
def usual_trace(
    base_url: str, trace_id: str, service: str, operation: str, start_ns: int
) -> dict[str, Any] | None:
    """trace_id, duration_ns, usual_count: a usual trace of that operation within an hour; None without."""
    hour_ns = 3600 * 10**9
    params: dict[str, object] = {
        "trace_id": trace_id,
        "service": service,
        "operation": operation,
        "start": start_ns,
        "since": start_ns - hour_ns,
        "until": start_ns + hour_ns,
    }
    return next(iter(_rows(base_url, "usual_trace", params)), None)


@st.cache_data(ttl=10.0, max_entries=8, show_spinner=False)
def metric_names(base_url: str, since: int, until: int) -> list[dict[str, Any]]:
    return _rows(base_url, "metric_names", {"since": since, "until": until})


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def metric_points(  # noqa: PLR0917 - a cached function takes plain values
    base_url: str, name: str, service: str | None, since: int, until: int, bucket_s: int
) -> pl.DataFrame:
    """service_name, series (attributes as JSON text), bucket_ms, figure."""
    params = {"name": name, "service": service, "since": since, "until": until, "bucket_s": bucket_s}
    return read(base_url, lambda client: client.sql(load_sql(QUERIES, "metric_points"), params))


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def metric_exemplars(
    base_url: str, name: str, service: str | None, since: int, until: int
) -> list[dict[str, Any]]:
    params: dict[str, object] = {"name": name, "service": service, "since": since, "until": until}
    return _rows(base_url, "metric_exemplars", params)
