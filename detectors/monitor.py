"""What the API reads and writes: anomalies, incidents, health, topology. Knows nothing of HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from collector.errors import Conflict, InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.difference_store import read_differences

_QUERIES = "detectors.queries"
STATES = ("open", "acknowledged", "snoozed", "resolved")
ORDERS = ("newest", "severity")
LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
_INCIDENT_ANOMALIES = 100
_WRITE_TRIES = 5
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


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


def parse_severities(texts: Sequence[str] | None) -> list[int] | None:
    """`["1,2", "3"]` → `[1, 2, 3]`; also `SEV1`."""
    if not texts:
        return None
    found = []
    for text in ",".join(texts).split(","):
        digits = text.strip().upper().removeprefix("SEV")
        if digits not in {"1", "2", "3", "4", "5"}:
            raise InvalidInput(f"severity {text!r} is not known", hint="use 1 (worst) to 5")
        found.append(int(digits))
    return found


def parse_since(text: str | None, now_unix_nano: int) -> int | None:
    """`15m`, `2h`, or an ISO time (UTC unless it says otherwise) → ns since 1970."""
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now_unix_nano - int(match[1]) * _UNIT_S[match[2]] * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"since {text!r} is not a time", hint="use 15m, 2h, 1d or 2026-01-31T12:00:00Z"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(moment.timestamp() * 1e6) * 1_000


def one_of(name: str, value: str | None, allowed: Sequence[str]) -> str | None:
    if value is not None and value not in allowed:
        raise InvalidInput(f"{name} {value!r} is not known", hint=f"use one of {', '.join(allowed)}")
    return value


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


def set_anomaly_state(store: Store, anomaly_id: str, state: object, now_unix_nano: int) -> dict[str, Any]:
    """Change what a person thinks of an anomaly; returns its row with its incident, which may follow it."""
    known = _known_state(state)
    get_anomaly(store, anomaly_id)
    params = {"anomaly_id": anomaly_id, "state": known}
    _write(
        store,
        ("set_anomaly_state", {**params, "now": now_unix_nano}),
        ("follow_anomalies", params),
    )
    return get_anomaly(store, anomaly_id)


def set_incident_state(store: Store, incident_id: str, state: object, now_unix_nano: int) -> dict[str, Any]:
    """Change what a person thinks of an incident, and of its anomalies that were in the same state."""
    known = _known_state(state)
    previous = get_incident(store, incident_id)["state"]
    moved = {"incident_id": incident_id, "state": known, "previous": previous, "now": now_unix_nano}
    _write(
        store,
        ("set_incident_state", {"incident_id": incident_id, "state": known}),
        ("move_incident_anomalies", moved),
    )
    return get_incident(store, incident_id)


def _known_state(state: object) -> str:
    if not isinstance(state, str) or state not in STATES:
        raise InvalidInput(f"state {state!r} is not known", hint=f"use one of {', '.join(STATES)}")
    return state


def _write(store: Store, *statements: tuple[str, dict[str, Any]]) -> None:
    for attempt in range(_WRITE_TRIES):
        try:
            with store.transaction() as con:
                for name, params in statements:
                    con.execute(load_sql(_QUERIES, name), params)
            return
        except duckdb.TransactionException:
            time.sleep(0.02 * 2**attempt)  # somebody else was updating the same row
    raise Conflict("the row is being updated", hint="try again")


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
    return {**rows[0], "anomalies": anomalies, "differences": read_differences(store, incident_id)}


def list_baselines(store: Store, service: str | None, operation: str | None, limit: int) -> dict[str, Any]:
    params = {"service": service, "operation": operation, "limit": limit}
    rows = store.read(load_sql(_QUERIES, "list_baselines"), params).to_pylist()
    amounts = store.read(load_sql(_QUERIES, "list_amount_baselines"), params).to_pylist()
    total = rows[0]["total"] if rows else 0
    for row in rows:
        del row["total"]
    return {"baselines": rows, "amount_baselines": amounts, "count": len(rows), "total": total}


def health(
    store: Store, detection: dict[str, object], ready_count: int, window_s: int, now_unix_nano: int
) -> dict[str, Any]:
    services = _red(store, window_s, now_unix_nano)
    troubled = store.read(
        "SELECT count(*) AS n FROM incidents i JOIN detector_roles r ON r.detector = i.kind "
        "WHERE i.state <> 'resolved' AND r.degrades"
    )
    degraded = troubled["n"][0].as_py() > 0 or detection.get("error") is not None
    status = "degraded" if degraded else "ok" if ready_count else "learning"
    return {
        "status": status,
        "services": services,
        "window_s": window_s,
        "detection": detection,
        "generated_at": _iso(now_unix_nano),
    }


def topology(store: Store, window_s: int, now_unix_nano: int) -> dict[str, Any]:
    since = now_unix_nano - window_s * 1_000_000_000
    edges = store.read(load_sql(_QUERIES, "service_edges"), {"since": since, "now": now_unix_nano})
    return {
        "services": _red(store, window_s, now_unix_nano),
        "edges": edges.to_pylist(),
        "window_s": window_s,
        "generated_at": _iso(now_unix_nano),
    }


def _red(store: Store, window_s: int, now_unix_nano: int) -> list[dict[str, Any]]:
    params = {
        "since": now_unix_nano - window_s * 1_000_000_000,
        "now": now_unix_nano,
        "window_s": float(window_s),
    }
    rows: list[dict[str, Any]] = store.read(load_sql(_QUERIES, "service_red"), params).to_pylist()
    return rows


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


def _iso(unix_nano: int) -> str:
    seconds, nanos = divmod(unix_nano, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
