"""Anomalies grouped by operation with a count, paged, and decided on together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from collector.errors import InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.incidents.decisions import Decision
from detectors.incidents.rows import STATES

_QUERIES = "detectors.incidents.queries"


@dataclass(frozen=True, slots=True)
class GroupFilters:
    """Validated filters; None lets everything pass. `since` in ns since 1970 UTC; `alone`: of no incident."""

    severities: list[int] | None = None
    service: str | None = None
    detector: str | None = None
    states: list[str] | None = None
    since: int | None = None
    text: str | None = None
    incident_id: str | None = None
    alone: bool = False
    by: str = "severity"
    limit: int = 50
    offset: int = 0


def list_groups(store: Store, filters: GroupFilters) -> dict[str, Any]:
    """Groups of anomalies: `{groups, count, total, anomaly_total}`; times in ns since 1970, UTC."""
    params = asdict(filters)
    rows = store.read(load_sql(_QUERIES, "list_anomaly_groups"), params).to_pylist()
    total = rows[0]["total"] if rows else 0
    anomaly_total = int(rows[0]["anomaly_total"]) if rows else 0
    return {
        "groups": [_group(row) for row in rows],
        "count": len(rows),
        "total": total,
        "anomaly_total": anomaly_total,
    }


def _group(row: dict[str, Any]) -> dict[str, Any]:
    worst = row["worst"]
    nanos = ("first_span_unix_nano", "last_span_unix_nano", "detected_unix_nano")
    kept = {key: value for key, value in row.items() if key not in {"total", "anomaly_total", *nanos}}
    # As text: JavaScript's numbers end at 2^53.
    return {
        **kept,
        **{name: str(row[name]) for name in nanos},
        "worst": {**worst, "details": json.loads(worst["details"])},
    }


def set_group_state(
    store: Store, group_id: str, state: object, now_unix_nano: int, said_by: str | None = None
) -> dict[str, Any]:
    """Put all anomalies of a group into one state; `{group_id, state, changed, incident_id}`.

    `incident_id` names the incident that follows, because all its anomalies are in that state now.

    Raises:
        InvalidInput: an unknown state.
        NotFound: no anomaly is of that group, or all of it are in the state already.
        duckdb.TransactionException: somebody keeps changing the same rows.
    """
    if not isinstance(state, str) or state not in STATES:
        raise InvalidInput(f"state {state!r} is not known", hint=f"use one of {', '.join(STATES)}")
    params = {"group_id": group_id, "state": state, "now": now_unix_nano}
    said = Decision(state, said_by, now_unix_nano)

    def write(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        changed = con.execute(load_sql(_QUERIES, "set_group_state"), params).fetchall()
        if not changed:
            raise NotFound(
                f"no anomaly of group {group_id!r} is in another state than {state}",
                hint="GET /api/monitor/anomaly-groups lists the groups",
            )
        incident_id = changed[0][0]
        followed = con.execute(
            load_sql(_QUERIES, "follow_groups"), {"incident_id": incident_id, "state": state}
        ).fetchall()
        said.append(con, "group", group_id)
        if followed:
            said.append(con, "incident", incident_id)
        incident = incident_id if followed else None
        return {"group_id": group_id, "state": state, "changed": len(changed), "incident_id": incident}

    return store.change(write)
