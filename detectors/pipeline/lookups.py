"""Look-ups of detectors in the stored rows."""

from __future__ import annotations

from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.model.operation import Operation
from detectors.stream.newest_spans import NewestSpans

_QUERIES = "detectors.pipeline.queries"
Calls = tuple[Operation, str]  # an operation and the one that it calls, empty where unknown
_REACH_NS = 60_000_000_000  # largest distance of a line from the start of its span


class Lookups:
    """Reads of single spans and anomalies. Any thread may call them, but for `span_of`."""

    def __init__(self, store: Store, newest: NewestSpans) -> None:
        self._store = store
        self._newest = newest

    def spans_by_id(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The stored spans that log lines name; rows with trace_id, span_id and unix_nano."""
        if not rows:
            return []
        times = [row["unix_nano"] for row in rows]
        return self._read(
            "spans_by_id",
            {
                "trace_ids": [row["trace_id"] for row in rows],
                "span_ids": [row["span_id"] for row in rows],
                "earliest": min(times) - _REACH_NS,
                "latest": max(times) + _REACH_NS,
            },
        )

    def span_of(self, service: str, since: int, until: int) -> dict[str, Any] | None:
        """The newest span of a service in that time (ns since 1970), or at all; None without one."""
        bounds = {"service": service, "since": max(since, until - _REACH_NS), "until": until}
        found = self._read("span_at", bounds)
        return found[0] if found else self._newest.of_service(service)

    def childless(self, parent: Calls, child: Calls, since: int, until: int) -> list[dict[str, Any]]:
        """Spans of the parent of that time (ns since 1970) that lack the child; each with its callee."""
        (parent_key, callee), (child_key, child_callee) = parent, child
        return self._read(
            "childless_spans",
            {
                "service": parent_key[0],
                "operation": parent_key[1],
                "kind": parent_key[2],
                "callee": callee,
                "child_service": child_key[0],
                "child_operation": child_key[1],
                "child_callee": child_callee,
                "since": since,
                "until": until,
            },
        )

    def stored_whales(self, anomaly_ids: list[str]) -> list[dict[str, Any]]:
        """The spans at which the stored ones of these anomalies are shown."""
        sql = load_sql("detectors.orders.queries", "known_whales")
        found: list[dict[str, Any]] = self._store.read(sql, {"anomaly_ids": anomaly_ids}).to_pylist()
        return found

    def _read(self, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._store.read(load_sql(_QUERIES, name), params).to_pylist()
        return found
