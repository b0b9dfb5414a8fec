"""The tools of agents: each function is a tool, and its docstring is the description. All of them only read.

All data comes over the server's HTTP API, SQL through its `/api/sql`: there is no second way to the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from collector.client import Client
from collector.errors import InvalidInput, NotFound
from collector.store.sqlfile import load_sql
from detectors.trace.analysis import analyse_trace
from detectors.trace.tree import build_tree
from llm.agents.answers import MAX_TOKENS, page
from llm.agents.outline import outline

MONITOR = "/api/monitor"
MAX_SPANS = 50_000  # of a trace in an outline; a larger trace is cut, and the answer says so
MAX_DETAILS = 20
PAGE_ROWS = 500
State = Literal["open", "acknowledged", "snoozed", "resolved"]


class Tools:
    """The tools over one server. Each call has its own connection, since calls run in threads."""

    def __init__(self, api: str, *, max_tokens: int = MAX_TOKENS, timeout_s: float = 60.0) -> None:
        self._api = api
        self._max_tokens = max_tokens
        self._timeout_s = timeout_s

    def all(self) -> Sequence[Callable[..., str]]:
        return (
            self.health, self.incidents, self.anomalies, self.explain, self.trace_topology,
            self.critical_path, self.span_details, self.trace_logs, self.attribute_difference, self.schema,
            self.sql,
        )  # fmt: skip

    def health(self, offset: int = 0) -> str:
        """Status of the system and of each service now, with request rate, errors and latency."""
        told = self._get(f"{MONITOR}/health")
        services = told.pop("services", [])
        return self._objects(
            services, offset, about={k: v for k, v in told.items() if not isinstance(v, list)}
        )

    def incidents(self, state: State | None = None, offset: int = 0) -> str:
        """Incidents, newest first: grouped anomalies with their likely root cause. Start here."""
        told = self._get(f"{MONITOR}/incidents", state=state, limit=PAGE_ROWS)
        rows = [
            [i["incident_id"], f"SEV{i['severity']}", i["state"], i["title"], i.get("first_span_time"),
             i["anomaly_count"], i.get("exemplar_trace_id"), _first_cause(i.get("root_causes"))]
            for i in told["incidents"]
        ]  # fmt: skip
        columns = (
            "incident_id",
            "severity",
            "state",
            "title",
            "since",
            "anomalies",
            "trace_id",
            "likely_cause",
        )
        return self._page(columns, rows[offset:], offset=offset, total=max(told.get("total", 0), len(rows)))

    def anomalies(
        self,
        service: str | None = None,
        severity: str | None = None,
        since: str | None = None,
        offset: int = 0,
    ) -> str:
        """Single anomalies, newest first. severity: SEV1 (worst) to SEV5; since: ISO time or 90m, 7d."""
        told = self._get(
            f"{MONITOR}/anomalies", service=service, severity=severity, since=since, limit=PAGE_ROWS
        )
        rows = [
            [a["anomaly_id"], f"SEV{a['severity']}", a["detector"], a["service_name"], a["operation"],
             a["observed"], a["expected"], a["unit"], a["sigma"], a["trace_id"], a["incident_id"]]
            for a in told["anomalies"]
        ]  # fmt: skip
        columns = ("anomaly_id", "severity", "detector", "service", "operation", "observed", "expected",
                   "unit",                   "sigma", "trace_id", "incident_id")  # fmt: skip
        return self._page(columns, rows[offset:], offset=offset, total=max(told.get("total", 0), len(rows)))

    def explain(self, subject_id: str) -> str:
        """Why: ranked root causes of an incident, anomaly or trace, each claim with its facts [E1]."""
        told = None
        with self._client() as client:
            for kind in _kinds(subject_id):
                try:
                    told = client.post(f"{MONITOR}/analyze", {kind: subject_id})
                    break
                except NotFound:
                    continue
        if told is None:
            raise NotFound(f"no incident, anomaly or trace {subject_id!r} is stored", hint="see incidents")
        about = {
            "summary": told["summary"], "confidence": told["confidence"], "said_by": told["source"],
            "trace_id": told["trace_id"],
            "causes": [f"{c['operation']} in {c['service']} {c['evidence']}" for c in told["root_causes"]],
            "next_steps": told["recommendations"],
        }  # fmt: skip
        rows = [[f["evidence_id"], f["statement"], f["trace_id"], f["span_id"]] for f in told["evidence"]]
        return self._page(("fact", "statement", "trace_id", "span_id"), rows, about=about)

    def trace_topology(self, trace_id: str, offset: int = 0) -> str:
        """The spans of a trace depth first, without attributes; like siblings are one row."""
        table, notes = self._trace(trace_id)
        rows = outline(table)
        about = {"spans": table.num_rows}
        columns = ("path", "span_id", "kind", "ms", "self_ms", "error", "count")
        return self._page(columns, rows[offset:], offset=offset, total=len(rows), about=about, notes=notes)

    def critical_path(self, trace_id: str, offset: int = 0) -> str:
        """The spans that the trace's duration is made of, in order; shorten one and it ends earlier."""
        table, notes = self._trace(trace_id)
        tree = build_tree(table)
        found = analyse_trace(table, tree.parent)
        root = max(tree.roots, key=lambda index: int(found.duration[index]))
        path, own = found.critical_path(root), found.self_time_ns
        names = {
            name: table[name].to_pylist() for name in ("span_id", "service_name", "span_name", "status_code")
        }
        rows = [
            [names["span_id"][i], names["service_name"][i], names["span_name"][i], _ms(found.duration[i]),
             _ms(own[i]), names["status_code"][i] == "ERROR"]
            for i in path
        ]  # fmt: skip
        about = {"duration_ms": _ms(found.duration[root]), "spans_on_path": len(path)}
        columns = ("span_id", "service", "operation", "ms", "self_ms", "error")
        return self._page(columns, rows[offset:], offset=offset, total=len(rows), about=about, notes=notes)

    def span_details(self, trace_id: str, span_ids: list[str], offset: int = 0) -> str:
        """Attributes, status and events of at most 20 spans of a trace."""
        if len(span_ids) > MAX_DETAILS:
            raise InvalidInput(
                f"{len(span_ids)} spans, more than {MAX_DETAILS}", hint="ask for them in several calls"
            )
        with self._client() as client:
            found = client.sql(
                load_sql("llm.queries", "agent_span_details"),
                {"trace_id": trace_id.lower(), "span_ids": [i.lower() for i in span_ids]},
            ).to_dicts()
        missing = sorted({i.lower() for i in span_ids} - {row["span_id"] for row in found})
        rows = [
            [row["span_id"], row["service_name"], row["span_name"], row["status_code"], row["status_message"],
             json.loads(row["attributes"] or "{}"), json.loads(row["events"] or "[]")]
            for row in found
        ]  # fmt: skip
        notes = [f"not stored: {', '.join(missing)}"] if missing else []
        columns = ("span_id", "service", "operation", "status", "message", "attributes", "events")
        return self._page(columns, rows[offset:], offset=offset, total=len(rows), notes=notes)

    def trace_logs(self, trace_id: str, offset: int = 0) -> str:
        """Log lines of a trace in the order of their time."""
        return self._sql("agent_trace_logs", {"trace_id": trace_id.lower()}, offset)

    def attribute_difference(self, incident_id: str, offset: int = 0) -> str:
        """Attribute values that set an incident's traces apart from usual ones, the strongest first."""
        return self._sql("agent_differences", {"incident_id": incident_id}, offset)

    def schema(self, table: str | None = None, offset: int = 0) -> str:
        """Tables and views for `sql`; with a table its columns and types."""
        return self._sql(
            "agent_columns" if table else "agent_tables", {"table": table} if table else {}, offset
        )

    def sql(self, query: str, offset: int = 0) -> str:
        """One read-only DuckDB statement. Aggregate: answers are small. Durations are duration_ns."""
        with self._client() as client:
            frame, is_cut = client.sql_page(query, limit=offset + PAGE_ROWS)
        rows = frame.rows()
        notes = (
            [f"rows beyond {offset + PAGE_ROWS}: ask with a larger offset, or aggregate"] if is_cut else []
        )
        return self._page(frame.columns, rows[offset:], offset=offset, total=len(rows), notes=notes)

    def _sql(self, name: str, parameters: Mapping[str, object], offset: int) -> str:
        with self._client() as client:
            frame, is_cut = client.sql_page(
                load_sql("llm.queries", name), parameters, limit=offset + PAGE_ROWS
            )
        rows = frame.rows()
        notes = [f"rows beyond {offset + PAGE_ROWS}: ask with a larger offset"] if is_cut else []
        return self._page(frame.columns, rows[offset:], offset=offset, total=len(rows), notes=notes)

    def _trace(self, trace_id: str) -> tuple[pa.Table, list[str]]:
        with self._client() as client:
            query = load_sql("llm.queries", "trace_spans").rstrip().rstrip(";")
            frame, is_cut = client.sql_page(query, {"trace_id": trace_id.lower()}, limit=MAX_SPANS)
        if not frame.height:
            raise NotFound(f"no trace {trace_id!r} is stored", hint="give its 32 hexadecimal digits")
        notes = [f"spans beyond the first {MAX_SPANS:,} of the trace"] if is_cut else []
        return _plain_strings(frame.to_arrow()), notes

    def _objects(
        self, objects: Sequence[Mapping[str, Any]], offset: int, about: Mapping[str, object] | None = None
    ) -> str:
        columns = list(objects[0]) if objects else []
        rows = [[item.get(name) for name in columns] for item in objects]
        return self._page(columns, rows[offset:], offset=offset, total=len(rows), about=about)

    def _page(self, columns: Sequence[str], rows: Sequence[Sequence[object]], **more: Any) -> str:
        return page(columns, rows, max_tokens=self._max_tokens, **more)

    def _get(self, path: str, **parameters: object) -> Any:
        with self._client() as client:
            return client.get(path, **parameters)

    def _client(self) -> Client:
        return Client(self._api, timeout_s=self._timeout_s)


def _plain_strings(table: pa.Table) -> pa.Table:
    """Polars' string views converted to the strings that the trace analysis reads."""
    fields = [
        pa.field(
            f.name,
            pa.string() if pa.types.is_string_view(f.type) or pa.types.is_large_string(f.type) else f.type,
        )
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _first_cause(causes: object) -> str:
    first = causes[0] if isinstance(causes, list) and causes else None
    return f"{first.get('operation')} in {first.get('service')}" if isinstance(first, dict) else ""


def _kinds(subject_id: str) -> tuple[str, ...]:
    is_trace = len(subject_id) == 32 and all(c in "0123456789abcdef" for c in subject_id.lower())
    return ("trace_id", "incident_id", "anomaly_id") if is_trace else ("incident_id", "anomaly_id")


def _ms(nanoseconds: float) -> float:
    return round(float(nanoseconds) / 1e6, 3)
