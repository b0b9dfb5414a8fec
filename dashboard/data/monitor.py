"""Health, anomalies, incidents, traces, and decisions of people on them.

Reads are cached for about a refresh, so several tabs cost the server one read. Writes drop the reads they
change.
"""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import streamlit as st

from collector.client import Client
from collector.store.sqlfile import load_sql
from dashboard.data.connection import MONITOR, QUERIES, read, segment

LIVE_TTL_S = 0.5  # well below the refresh interval: each refresh is new; tabs share it
SERIES_TTL_S = 4.0  # the charts' buckets are 10 s wide
TRACE_TTL_S = 10.0  # spans of a trace may still be arriving
MAX_LIVE_INCIDENTS = 200
MAX_ENDED_INCIDENTS = 50
_COLLECTIONS = {"anomaly": "anomalies", "incident": "incidents"}


@st.cache_data(ttl=LIVE_TTL_S, max_entries=8, show_spinner=False)
def health(base_url: str) -> dict[str, Any]:
    """Overall status and RED figures of each service."""
    answer: dict[str, Any] = read(base_url, lambda client: client.get(f"{MONITOR}/health"))
    return answer


@st.cache_data(ttl=LIVE_TTL_S, max_entries=64, show_spinner=False)
def anomalies(
    base_url: str,
    *,
    severities: tuple[int, ...] = (),
    service: str | None = None,
    detector: str | None = None,
    states: tuple[str, ...] = (),
    order: str = "newest",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Anomalies in any of `states` (every state when empty), at most `limit` of each."""

    def fetch(client: Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for state in states or (None,):  # the API takes one state at a time
            answer = client.get(
                f"{MONITOR}/anomalies",
                severity=",".join(map(str, severities)) or None,
                service=service,
                detector=detector,
                state=state,
                order=order,
                limit=limit,
            )
            found += answer["anomalies"]
        return found

    return read(base_url, fetch)


@st.cache_data(ttl=LIVE_TTL_S, max_entries=64, show_spinner=False)
def anomaly_groups(
    base_url: str,
    *,
    severities: tuple[int, ...] = (),
    service: str | None = None,
    detector: str | None = None,
    states: tuple[str, ...] = (),
    text: str = "",
    incident_id: str | None = None,
    alone: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> dict[str, Any]:
    """Anomalies as one row for each operation, worst first: `{groups, count, total, anomaly_total}`."""

    def fetch(client: Client) -> dict[str, Any]:
        answer: dict[str, Any] = client.get(
            f"{MONITOR}/anomaly-groups",
            severity=",".join(map(str, severities)) or None,
            service=service,
            detector=detector,
            state=",".join(states) or None,
            text=text or None,
            incident_id=incident_id,
            alone=alone or None,
            limit=limit,
            offset=offset,
        )
        return answer

    return read(base_url, fetch)


@st.cache_data(ttl=LIVE_TTL_S, max_entries=8, show_spinner=False)
def incidents(base_url: str) -> list[dict[str, Any]]:
    """All incidents that go on and the newest that ended, with ranked root causes."""

    def fetch(client: Client) -> list[dict[str, Any]]:
        path = f"{MONITOR}/incidents"
        rows: list[dict[str, Any]] = []
        for state in ("open", "acknowledged", "snoozed"):
            rows += client.get(path, state=state, order="severity", limit=MAX_LIVE_INCIDENTS)["incidents"]
        rows += client.get(path, state="resolved", order="newest", limit=MAX_ENDED_INCIDENTS)["incidents"]
        return rows

    return read(base_url, fetch)


@st.cache_data(ttl=LIVE_TTL_S, max_entries=32, show_spinner=False)
def anomaly(base_url: str, anomaly_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = read(
        base_url, lambda client: client.get(f"{MONITOR}/anomalies/{segment(anomaly_id)}")
    )
    return answer


@st.cache_data(ttl=LIVE_TTL_S, max_entries=32, show_spinner=False)
def incident(base_url: str, incident_id: str) -> dict[str, Any]:
    """One incident with its first 100 anomalies."""
    answer: dict[str, Any] = read(
        base_url, lambda client: client.get(f"{MONITOR}/incidents/{segment(incident_id)}")
    )
    return answer


def trace(base_url: str, trace_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(_trace(base_url, trace_id))
    return answer


@st.cache_data(ttl=TRACE_TTL_S, max_entries=16, show_spinner=False)
def _trace(base_url: str, trace_id: str) -> bytes:
    """As it was sent: a cache copies 10,000 spans faster as bytes, and in less memory."""
    return read(base_url, lambda client: client.get_bytes(f"{MONITOR}/trace/{segment(trace_id)}"))


@st.cache_data(ttl=SERIES_TTL_S, max_entries=8, show_spinner=False)
def red_series(base_url: str, window_s: int, bucket_s: int) -> pl.DataFrame:
    """service_name, bucket_ms (epoch), request_count, error_count, p50_ns, p95_ns."""
    statement = load_sql(QUERIES, "red_series")
    return read(base_url, lambda client: client.sql(statement, {"window_s": window_s, "bucket_s": bucket_s}))


@st.cache_data(ttl=LIVE_TTL_S, max_entries=8, show_spinner=False)
def severity_counts(base_url: str) -> dict[int, int]:
    """How many unresolved anomalies of each severity; a severity without any may be missing."""
    statement = load_sql(QUERIES, "severity_counts")
    rows = read(base_url, lambda client: client.sql(statement)).to_dicts()
    return {int(row["severity"]): int(row["anomaly_count"]) for row in rows}


@st.cache_data(ttl=TRACE_TTL_S, max_entries=32, show_spinner=False)
def explanation(base_url: str, kind: str, subject_id: str, timeout_s: float) -> dict[str, Any]:
    """The explanation of an `anomaly` or `incident`; the server reuses the one it has stored."""
    answer: dict[str, Any] = read(
        base_url, lambda client: client.post(f"{MONITOR}/analyze", {f"{kind}_id": subject_id}), timeout_s
    )
    return answer


def set_state(base_url: str, kind: str, subject_id: str, state: str, said_by: str = "") -> None:
    """Moves an `anomaly` or `incident` to `open`, `acknowledged`, `snoozed` or `resolved`."""
    path = f"{MONITOR}/{_COLLECTIONS[kind]}/{segment(subject_id)}/state"
    read(base_url, lambda client: client.post(path, _decided(state, said_by)))
    _forget_triage()


def set_group_state(base_url: str, group_id: str, state: str, said_by: str = "") -> int:
    """Moves every anomaly of a group; returns how many have changed."""
    path = f"{MONITOR}/anomaly-groups/{segment(group_id)}/state"
    answer: dict[str, Any] = read(base_url, lambda client: client.post(path, _decided(state, said_by)))
    _forget_triage()
    return int(answer["changed"])


def _decided(state: str, said_by: str) -> dict[str, str]:
    return {"state": state, "said_by": said_by} if said_by else {"state": state}


def expect(base_url: str, incident_id: str, said_by: str) -> list[str]:
    """Says that an incident is what is normal now; returns a line for each baseline that has moved."""
    path = f"{MONITOR}/incidents/{segment(incident_id)}/expected"
    body = {"said_by": said_by} if said_by else {}
    answer: dict[str, Any] = read(base_url, lambda client: client.post(path, body))
    _forget_triage()
    return list(answer["adopted"])


def _forget_triage() -> None:
    for cached in (anomalies, anomaly, anomaly_groups, incidents, incident, health, severity_counts):
        cached.clear()
