"""Decisions of engineers that a level is normal now, and the list of adopted levels."""

from __future__ import annotations

import json
from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.learning.adoption import Adoption
from detectors.learning.change_tests import ErrorLevel
from detectors.learning.level_history import SLOT_NS
from detectors.model.operation import Operation

_QUERIES = "detectors.learning.queries"


def expected(
    store: Store, adoption: Adoption, incident: dict[str, Any], said_by: str | None, now: tuple[int, int]
) -> list[str]:
    """Adopt the slow and failing operations of an incident; returns a line for each that was adopted.

    Structure, message waits and throughput are learned by themselves once the incident is over.

    Args:
        incident: a row of `incidents.rows.get_incident`.
        now: the newest batch that was judged, and the time.
    """
    bounds = store.read(
        "SELECT epoch_ns(first_span_time) AS since, epoch_ns(last_span_time) AS until FROM incidents "
        "WHERE incident_id = ?",
        [incident["incident_id"]],
    ).to_pylist()[0]
    is_over = incident["state"] == "resolved"
    evidence = {"incident": incident["incident_id"], "said_by": said_by}
    upto_batch_id, now_unix_nano = now
    adopted = []
    rows = store.read(
        load_sql(_QUERIES, "incident_operations"), {"incident_id": incident["incident_id"], **bounds}
    ).to_pylist()
    for row in rows:
        operation = Operation.of(row)
        if row["is_latency"]:
            adopted.append(
                adoption.expected(
                    operation,
                    bounds["since"],
                    bounds["until"] if is_over else None,
                    upto_batch_id=upto_batch_id,
                    now_unix_nano=now_unix_nano,
                    evidence=evidence,
                )
            )
        if row["is_error"] and not is_over:
            found = ErrorLevel(bounds["since"] // SLOT_NS, row["call_count"], row["failed_count"])
            adopted.append(adoption.expected_errors(operation, found, now_unix_nano, evidence))
    return [version.text for version in adopted if version is not None]


def list_versions(store: Store, service: str | None, operation: str | None, limit: int) -> dict[str, Any]:
    """Rows of `baseline_versions`, newest first."""
    params = {"service": service, "operation": operation, "limit": limit}
    rows = store.read(load_sql(_QUERIES, "list_versions"), params).to_pylist()
    for row in rows:
        row["evidence"] = json.loads(row["evidence"])
    return {"versions": rows, "count": len(rows)}
