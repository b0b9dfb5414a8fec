"""Stored anomalies and incidents: listed, shown, and put into a state by a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import duckdb

from collector.errors import InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.incidents.decisions import Decision, read_decisions
from detectors.incidents.difference_store import read_differences

_QUERIES = "detectors.incidents.queries"
STATES = ("open", "acknowledged", "snoozed", "resolved")
ORDERS = ("newest", "severity")
LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
_INCIDENT_ANOMALIES = 100


@dataclass(frozen=True, slots=True)
class Filters:
    """Validated filters of a list; None lets everything pass. `since` in ns since 1970 UTC."""

    severities: list[int] | None = None
    service: str | None = None
    detector: str | None = None
    state: str | None = None
    since_unix_nano: int | None = None
    limit: int = LIMIT_DEFAULT
    order: str = "newest"


def list_anomalies(store: Store, filters: Filters) -> dict[str, Any]:
    rows, total = _anomalies(store, filters)
    return {"anomalies": rows, "count": len(rows), "total": total}


def get_anomaly(store: Store, anomaly_id: str) -> dict[str, Any]:
    rows, _ = _anomalies(store, Filters(), anomaly_id=anomaly_id)
    if not rows:
        raise NotFound(f"no anomaly {anomaly_id!r} is stored", hint="GET /api/monitor/anomalies lists ids")
    anomaly = rows[0]
    incidents = _incidents(store, Filters(), anomaly["incident_id"])[0] if anomaly["incident_id"] else []
    return {**anomaly, "incident": incidents[0] if incidents else None}


def set_anomaly_state(
    store: Store, anomaly_id: str, state: object, now_unix_nano: int, said_by: str | None = None
) -> dict[str, Any]:
    """Set the state of an anomaly; returns its row with its incident, whose state may follow."""
    known = _known_state(state)
    get_anomaly(store, anomaly_id)
    params = {"anomaly_id": anomaly_id, "state": known}
    said = Decision(known, said_by, now_unix_nano)

    def change(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(load_sql(_QUERIES, "set_anomaly_state"), {**params, "now": now_unix_nano})
        said.append(con, "anomaly", anomaly_id)
        for (incident_id,) in con.execute(load_sql(_QUERIES, "follow_anomalies"), params).fetchall():
            said.append(con, "incident", incident_id)

    store.change(change)
    return get_anomaly(store, anomaly_id)


def set_incident_state(
    store: Store, incident_id: str, state: object, now_unix_nano: int, said_by: str | None = None
) -> dict[str, Any]:
    """Set the state of an incident, and of its anomalies that were in the same state."""
    known = _known_state(state)
    previous = get_incident(store, incident_id)["state"]
    moved = {"incident_id": incident_id, "state": known, "previous": previous, "now": now_unix_nano}

    def change(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(load_sql(_QUERIES, "set_incident_state"), {"incident_id": incident_id, "state": known})
        con.execute(load_sql(_QUERIES, "move_incident_anomalies"), moved)
        Decision(known, said_by, now_unix_nano).append(con, "incident", incident_id)

    store.change(change)
    return get_incident(store, incident_id)


def _known_state(state: object) -> str:
    if not isinstance(state, str) or state not in STATES:
        raise InvalidInput(f"state {state!r} is not known", hint=f"use one of {', '.join(STATES)}")
    return state


def list_incidents(store: Store, filters: Filters) -> dict[str, Any]:
    rows, total = _incidents(store, filters)
    return {"incidents": rows, "count": len(rows), "total": total}


def get_incident(store: Store, incident_id: str) -> dict[str, Any]:
    rows, _ = _incidents(store, Filters(), incident_id)
    if not rows:
        raise NotFound(f"no incident {incident_id!r} is stored", hint="GET /api/monitor/incidents lists ids")
    anomalies, _ = _anomalies(
        store, Filters(limit=_INCIDENT_ANOMALIES, order="severity"), incident_id=incident_id
    )
    return {
        **rows[0],
        "decisions": read_decisions(store, "incident", incident_id),
        "anomalies": anomalies,
        "differences": read_differences(store, incident_id),
    }


def _anomalies(
    store: Store, filters: Filters, *, anomaly_id: str | None = None, incident_id: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    params = {
        "anomaly_id": anomaly_id,
        "incident_id": incident_id,
        "severities": filters.severities,
        "service": filters.service,
        "detector": filters.detector,
        "state": filters.state,
        "since": filters.since_unix_nano,
        "by": filters.order,
        "limit": filters.limit,
    }
    rows = store.read(load_sql(_QUERIES, "list_anomalies"), params).to_pylist()
    for row in rows:
        row["details"] = json.loads(row["details"])
    return _without_total(rows)


def _incidents(
    store: Store, filters: Filters, incident_id: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    params = {
        "incident_id": incident_id,
        "severities": filters.severities,
        "service": filters.service,
        "kind": filters.detector,
        "state": filters.state,
        "since": filters.since_unix_nano,
        "by": filters.order,
        "limit": filters.limit,
    }
    rows = store.read(load_sql(_QUERIES, "list_incidents"), params).to_pylist()
    for row in rows:
        row["root_causes"] = json.loads(row["root_causes"])
    return _without_total(rows)


def _without_total(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    total = rows[0]["total"] if rows else 0
    for row in rows:
        del row["total"]
    return rows, total
