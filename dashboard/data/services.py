"""Rate, errors and duration of services, of what users call, of one operation; with what was usual before."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from collector.store.sqlfile import load_sql
from dashboard.data.connection import MONITOR, QUERIES, read

RED_TTL_S = 2.0
NOW_WINDOW_S = 60
USUAL_S = 3600
USUAL_TTL_S = 60.0
SECOND_NS = 1_000_000_000
_NO_CALL: dict[str, Any] = {
    "request_count": 0, "error_count": 0, "p50_ns": None, "p95_ns": None, "p99_ns": None,
}  # fmt: skip
_NO_USUAL: dict[str, Any] = {
    "usual_minutes": 0, "usual_rate_per_s": None, "usual_error_share": None, "high_error_share": None,
    "usual_p50_ns": None, "usual_p95_ns": None, "high_p95_ns": None,
}  # fmt: skip


def red_bounds(now_ns: int, trouble_since_ns: int | None) -> dict[str, int]:
    """The last minute, and the hour of whole minutes before it, or before trouble began.

    >>> bounds = red_bounds(10_000 * 10**9, None)
    >>> (bounds["usual_to"] - bounds["usual_from"]) // 10**9, bounds["usual_to"] < bounds["now_from"]
    (3600, True)
    """
    now_from = now_ns - NOW_WINDOW_S * SECOND_NS
    before = min(now_from, trouble_since_ns) if trouble_since_ns else now_from
    usual_to = before // (60 * SECOND_NS) * 60 * SECOND_NS
    return {
        "now_from": now_from,
        "now_to": now_ns,
        "usual_from": usual_to - USUAL_S * SECOND_NS,
        "usual_to": usual_to,
    }


def service_red(base_url: str, now_ns: int, trouble_since_ns: int | None = None) -> list[dict[str, Any]]:
    """Each service that was called in the last minute or in the usual hour."""
    return _red(base_url, now_ns // (2 * SECOND_NS), trouble_since_ns, of_users=False)


def user_red(base_url: str, now_ns: int, trouble_since_ns: int | None = None) -> list[dict[str, Any]]:
    """The same for what users call: each operation that begins traces."""
    return _red(base_url, now_ns // (2 * SECOND_NS), trouble_since_ns, of_users=True)


def _red(
    base_url: str, half_seconds: int, trouble_since_ns: int | None, *, of_users: bool
) -> list[dict[str, Any]]:
    bounds = red_bounds(half_seconds * 2 * SECOND_NS + 2 * SECOND_NS, trouble_since_ns)
    present = _present(base_url, bounds["now_from"], bounds["now_to"], of_users=of_users)
    usual = _usual(base_url, bounds["usual_from"], bounds["usual_to"], of_users=of_users)
    return beside_usual(present, usual)


def beside_usual(present: list[dict[str, Any]], usual: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `red_now` with those of `red_usual`; what has gone silent stays, what is new has no usual.

    >>> row = beside_usual([], [{"service_name": "pay", "operation": "", "usual_minutes": 7}])[0]
    >>> row["request_count"], row["p95_ns"], row["usual_minutes"]
    (0, None, 7)
    """
    before = {(row["service_name"], row["operation"]): row for row in usual}
    joined = [_NO_USUAL | before.pop((row["service_name"], row["operation"]), {}) | row for row in present]
    joined += [_NO_CALL | row for row in before.values()]
    return sorted(joined, key=lambda row: (row["service_name"], -row["request_count"]))


@st.cache_data(ttl=RED_TTL_S, max_entries=16, show_spinner=False)
def _present(base_url: str, from_ns: int, to_ns: int, *, of_users: bool) -> list[dict[str, Any]]:
    """The last minute, read once for all tabs that ask within two seconds: it ends with an even one."""
    return _rows(base_url, "red_now", from_ns, to_ns, of_users=of_users)


@st.cache_data(ttl=USUAL_TTL_S, max_entries=16, show_spinner=False)
def _usual(base_url: str, from_ns: int, to_ns: int, *, of_users: bool) -> list[dict[str, Any]]:
    """An hour of spans, read once a minute: it ends with a whole minute."""
    return _rows(base_url, "red_usual", from_ns, to_ns, of_users=of_users)


def _rows(base_url: str, query: str, from_ns: int, to_ns: int, *, of_users: bool) -> list[dict[str, Any]]:
    params: dict[str, object] = {"from": from_ns, "to": to_ns, "of_users": of_users}
    rows: list[dict[str, Any]] = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, query), params)
    ).to_dicts()
    return rows


@st.cache_data(ttl=RED_TTL_S, max_entries=32, show_spinner=False)
def incident_pulse(base_url: str, incident_id: str) -> list[tuple[int, int]]:
    """(start of ten seconds in ms since 1970, anomalies that began in them), oldest first."""
    rows = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, "incident_pulse"), {"incident_id": incident_id})
    )
    return [(row["bucket_ms"], row["anomaly_count"]) for row in reversed(rows.to_dicts())]


@st.cache_data(ttl=4.0, max_entries=32, show_spinner=False)
def operation_series(  # noqa: PLR0917 - a cached function takes plain values
    base_url: str, service: str, operation: str, since_ns: int, until_ns: int, bucket_s: int
) -> pl.DataFrame:
    """bucket_ms, call_count, error_count, p50_ns, p95_ns of one operation."""
    params = {
        "service": service,
        "operation": operation,
        "since": since_ns,
        "until": until_ns,
        "bucket_s": bucket_s,
    }
    return read(base_url, lambda client: client.sql(load_sql(QUERIES, "operation_series"), params))


@st.cache_data(ttl=4.0, max_entries=16, show_spinner=False)
def topology(base_url: str, window_s: int) -> dict[str, Any]:
    """Services with RED and edges between them: caller, callee, count, errors, p50_ns, p95_ns."""
    answer: dict[str, Any] = read(
        base_url, lambda client: client.get(f"{MONITOR}/topology", window_s=min(window_s, 86_400))
    )
    return answer


@st.cache_data(ttl=4.0, max_entries=16, show_spinner=False)
def operations(base_url: str, service: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """Operations of a service with RED and what is usual for each."""
    params = {"service": service, "since": since_ns, "until": until_ns}
    rows: list[dict[str, Any]] = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, "service_operations"), params)
    ).to_dicts()
    return rows


@st.cache_data(ttl=10.0, max_entries=16, show_spinner=False)
def versions(base_url: str, service: str | None, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """service_name, version, first_ms, last_ms, call_count, error_count; newest of each service first."""
    params: dict[str, object] = {"service": service, "since": since_ns, "until": until_ns}
    rows: list[dict[str, Any]] = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, "versions"), params)
    ).to_dicts()
    return rows


@st.cache_data(ttl=30.0, max_entries=16, show_spinner=False)
def usual_hours(base_url: str, service: str, operation: str, kind: str) -> pl.DataFrame:
    """hour_of_week (0 is Monday 00:00 UTC), p50_ns, p99_ns, sample_count, flagged_count, state."""
    params = {"service": service, "operation": operation, "kind": kind}
    return read(base_url, lambda client: client.sql(load_sql(QUERIES, "service_hours"), params))
