"""Reads open incidents at a start, and writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.incidents.incident import Incident
from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED
from detectors.model.amounts import carried_text
from detectors.model.anomaly import AMOUNT, LATENCY, METRIC, STOPPED, Anomaly
from detectors.model.operation import Operation
from detectors.model.roles import Role, detectors_of
from detectors.model.text import amount_text, duration_text, worth_text

_QUERIES = "detectors.incidents.queries"
_SCHEMA = pa.schema(
    [
        ("incident_id", pa.string()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("severity", pa.int8()),
        ("title", pa.string()),
        ("opened_unix_nano", pa.int64()),
        ("last_seen_unix_nano", pa.int64()),
        ("first_span_unix_nano", pa.int64()),
        ("last_span_unix_nano", pa.int64()),
        ("anomaly_count", pa.int64()),
        ("trace_count", pa.int64()),
        ("exemplar_trace_id", pa.string()),
        ("services", pa.list_(pa.string())),
        ("root_causes", pa.string()),
    ]
)


def save_incidents(
    con: duckdb.DuckDBPyConnection, incidents: Iterable[Incident], causes: dict[str, list[dict[str, Any]]]
) -> None:
    """Insert or update; `causes` are the ranked root causes by incident id."""
    rows = [_row(incident, causes.get(incident.incident_id, [])) for incident in incidents]
    if not rows:
        return
    con.register("saved_incidents", pa.Table.from_pylist(rows, schema=_SCHEMA))
    con.execute(load_sql(_QUERIES, "save_incidents"))
    con.unregister("saved_incidents")


def save_causes(con: duckdb.DuckDBPyConnection, incident: Incident, causes: list[dict[str, Any]]) -> bool:
    """Write the root causes of an incident, and the title that follows from them; whether it is stored."""
    row = _row(incident, causes)
    chosen = {name: row[name] for name in ("incident_id", "title", "root_causes")}
    return bool(con.execute(load_sql(_QUERIES, "save_causes"), chosen).fetchall())


def load_open(store: Store, now_s: float) -> tuple[dict[str, Incident], dict[str, list[dict[str, Any]]]]:
    """Incidents that a former run left open, and their causes; they count as active just now."""
    incidents: dict[str, Incident] = {}
    causes: dict[str, list[dict[str, Any]]] = {}
    for row in store.read(load_sql(_QUERIES, "open_incidents")).to_pylist():
        incident = Incident(
            incident_id=row["incident_id"],
            kind=row["kind"],
            opened_unix_nano=row["opened_unix_nano"],
            active_s=now_s,
            last_seen_unix_nano=row["last_seen_unix_nano"],
            severity=row["severity"],
            worst_sigma=row["worst_sigma"] or 0.0,
            exemplar_trace_id=row["exemplar_trace_id"],
            exemplar_sigma=row["worst_sigma"] or 0.0,
            first_span_unix_nano=row["first_span_unix_nano"],
            last_span_unix_nano=row["last_span_unix_nano"],
            anomaly_count=row["anomaly_count"],
            trace_count=row["trace_count"],
            services=set(row["services"]),
            operations={Operation.of(o) for o in row["operations"] or ()},
            cell=(row["cell"] or "") if row["kind"] in detectors_of(Role.EVENT) else "",
        )
        incidents[incident.incident_id] = incident
        causes[incident.incident_id] = json.loads(row["root_causes"])
    return incidents, causes


def title_of(incident: Incident, causes: list[dict[str, Any]]) -> str:
    """One line: the place, the observed and the expected figure."""
    if not incident.anomalies:
        return f"{incident.kind} in {', '.join(sorted(incident.services))}"
    if incident.kind == AMOUNT:
        worst = max(incident.anomalies, key=lambda a: a.sigma)
        carried = f"{amount_text(worst.observed, worst.unit)}{worth_text(worst.details)}"
        return (
            f"Whale: {carried_text(worst.details)} {carried} in {worst.service_name} "
            f"against a median of {amount_text(worst.expected, worst.unit)}"
        )
    if incident.kind in detectors_of(Role.EVENT):
        return _event_title(incident)
    told = _told_by_causes(incident, causes)
    if told:
        return told
    flagged: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in incident.anomalies:
        flagged.setdefault((anomaly.service_name, anomaly.operation), []).append(anomaly)
    blamed = [(cause["service"], cause["operation"]) for cause in causes[:1]]
    # Until a cause is known: callers of a slow operation are slow as well, but by a smaller factor.
    guess = max(flagged, key=lambda place: median(_factor(a) for a in flagged[place]))
    service, operation = next((place for place in blamed if place in flagged), guess)
    there = flagged[service, operation]
    slow = [a for a in there if a.detector == LATENCY]
    if len(slow) * 2 < len(there):
        worst = max((a for a in there if a.detector != LATENCY), key=lambda a: (a.sigma, a.observed))
        return f"{operation} in {service}: {worst.text}"
    observed, expected = median(a.observed for a in slow), median(a.expected for a in slow)
    return f"{operation} in {service}: p50 {duration_text(observed)} against {duration_text(expected)}"


def _told_by_causes(incident: Incident, causes: list[dict[str, Any]]) -> str:
    """The title where the causes say more than any anomaly; empty where they do not."""
    if not causes:
        return ""
    evidence = causes[0]["evidence"]
    if causes[0]["service"] not in incident.services and causes[0].get("kind") == "error":
        # Its own spans are gone, so nothing was flagged there: the anomalies of its callers are the evidence.
        return str(evidence[0]["text"]).partition(";")[0]
    shared = {item["kind"]: item for item in evidence}
    if SATURATED in shared:
        times = shared[EVERYWHERE]["observed"]
        return f"Host saturated: {shared[SATURATED]['text']}; everything takes {times:.1f} times as long"
    return f"Everything slower: {shared[EVERYWHERE]['text']}" if EVERYWHERE in shared else ""


def _factor(anomaly: Anomaly) -> float:
    least = 1.0 if anomaly.unit == "ns" else 0.001
    return anomaly.observed / max(anomaly.expected, least)


def _event_title(incident: Incident) -> str:
    worst = max(incident.anomalies, key=lambda a: a.sigma)
    others = len({a.operation_key for a in incident.anomalies}) - 1
    more = f", and {others} more operation{'s' * (others > 1)}" if others else ""
    if worst.details.get("rule") == STOPPED:
        return f"Telemetry stopped: {worst.text}"
    if worst.detector == METRIC:  # what it says begins with the metric's name
        return f"{worst.service_name}: {worst.text}{more.replace('operation', 'metric')}"
    return f"{worst.operation} in {worst.service_name}: {worst.text}{more}"


def _row(incident: Incident, causes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "incident_id": incident.incident_id,
        "kind": incident.kind,
        "state": incident.state,
        "severity": incident.severity,
        "title": title_of(incident, causes),
        "opened_unix_nano": incident.opened_unix_nano,
        "last_seen_unix_nano": incident.last_seen_unix_nano,
        "first_span_unix_nano": incident.first_span_unix_nano,
        "last_span_unix_nano": incident.last_span_unix_nano,
        "anomaly_count": incident.anomaly_count,
        "trace_count": incident.trace_count,
        "exemplar_trace_id": incident.exemplar_trace_id,
        "services": sorted(incident.services),
        "root_causes": json.dumps(causes),
    }
