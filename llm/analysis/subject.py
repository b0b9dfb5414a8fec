"""Store → case: the rows about a subject, with the exemplar trace compared with its baselines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

from collector.errors import NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.sketch_index import MESSAGE_WAIT
from detectors.model.anomaly import Anomaly
from detectors.model.operation import Operation
from detectors.scoring.trace_score import TRACE_SIGMA
from detectors.stats.arrays import IntArray
from detectors.stats.sketch import Sketch
from detectors.trace.analysis import MessageWaits, analyse_trace, message_waits
from detectors.trace.tree import build_tree
from llm.analysis.case import Case, Extent, Incident, Version
from llm.analysis.traced import MessageWait, TracedSpan, TracedTrace
from llm.explanation import Subject

MAX_DETAILS = 50  # spans read with attributes: those with errors, and operations on the critical path
MAX_MESSAGE_WAITS = 5
MAX_ANOMALIES = 3
_COLUMNS = (
    "trace_id", "span_id", "parent_span_id", "service_name", "span_name", "span_kind", "start_unix_nano",
    "duration_ns", "status_code", "has_exception",
)  # fmt: skip
_UNKNOWN = (None, None, None)


_EXISTS = {
    "anomaly": "SELECT 1 FROM anomalies WHERE anomaly_id = $id",
    "incident": "SELECT 1 FROM incidents WHERE incident_id = $id",
    "trace": "SELECT 1 FROM spans WHERE trace_id = $id LIMIT 1",
}
_HINTS = {
    "anomaly": "GET /api/monitor/anomalies lists their ids",
    "incident": "GET /api/monitor/incidents lists their ids",
    "trace": "give its 32 hexadecimal digits; an old trace may have expired",
}


_SIZES = {
    "anomaly": "SELECT count(*) FROM spans AS s JOIN anomalies AS a USING (trace_id) WHERE anomaly_id = $id",
    "incident": "SELECT anomaly_count FROM incidents WHERE incident_id = $id",
    "trace": "SELECT count(*) FROM spans WHERE trace_id = $id",
}


def subject_size(store: Store, subject: Subject) -> int:
    """The value of `Case.size` without loading the case; 0 when nothing is stored."""
    rows = store.read(_SIZES[subject.kind], {"id": subject.id}).to_pylist()
    return int(next(iter(rows[0].values()))) if rows else 0


def subject_basis(store: Store, subject: Subject) -> str:
    """A digest of the other inputs of an incident's text: title, causes, detectors. Else empty."""
    rows = (
        store.read(_sql("incident_basis"), {"id": subject.id}).to_pylist()
        if subject.kind == "incident"
        else []
    )
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16] if rows else ""


def require_subject(store: Store, subject: Subject) -> None:
    """Raises NotFound when nothing is stored under the subject's id."""
    if not store.read(_EXISTS[subject.kind], {"id": subject.id}).num_rows:
        raise NotFound(f"no {subject.kind} {subject.id!r} is stored", hint=_HINTS[subject.kind])


def load_case(store: Store, subject: Subject) -> Case:
    """Everything stored about `subject`.

    Raises:
        NotFound: nothing is stored under its id.
    """
    require_subject(store, subject)
    if subject.kind == "trace":
        return Case(subject, load_trace(store, subject.id), is_usual=_is_usual(store, subject.id))
    if subject.kind == "anomaly":
        anomaly = _anomaly(store.read(_sql("anomaly"), {"id": subject.id}).to_pylist()[0])
        return Case(subject, load_trace(store, anomaly.trace_id), [anomaly])
    incident = _incident(store.read(_sql("incident"), {"id": subject.id}).to_pylist()[0])
    wanted = {"id": subject.id, "trace_id": incident.exemplar_trace_id, "limit": MAX_ANOMALIES}
    anomalies = [_anomaly(row) for row in store.read(_sql("incident_anomalies"), wanted).to_pylist()]
    # For failing calls take the trace of a failed one, so that its deepest error can be named.
    failing = anomalies[0].trace_id if anomalies and anomalies[0].detector == "error" else ""
    trace = load_trace(store, failing or incident.exemplar_trace_id)
    version = _version(store, incident.incident_id)
    cited = _cited(store, incident, anomalies, version)
    return Case(subject, trace, anomalies, incident, cited, _extents(store, incident.incident_id), version)


def _is_usual(store: Store, trace_id: str) -> bool:
    wanted = {"trace_id": trace_id.lower(), "trace_sigma": TRACE_SIGMA}
    return bool(store.read(_sql("trace_is_usual"), wanted)["is_usual"][0].as_py())


def _extents(store: Store, incident_id: str) -> dict[tuple[str, str], Extent]:
    return {
        (row.pop("service_name"), row.pop("operation")): Extent(
            **{**row, "trace_ids": frozenset(row["trace_ids"])}
        )
        for row in store.read(_sql("incident_extents"), {"id": incident_id}).to_pylist()
    }


def _version(store: Store, incident_id: str) -> Version | None:
    rows = store.read(_sql("incident_versions"), {"id": incident_id}).to_pylist()
    names = ("key", "value", "share", "usual_share", "trace_id", "span_id")
    return Version(**{name: rows[0][name] for name in names}) if rows else None


def _cited(
    store: Store, incident: Incident, anomalies: list[Anomaly], version: Version | None
) -> dict[tuple[str, str], TracedSpan]:
    """The spans of the incident's causes and anomalies; those not stored are left out."""
    wanted = [(anomaly.trace_id, anomaly.span_id) for anomaly in anomalies]
    wanted += [(version.trace_id, version.span_id)] if version else []
    for cause in incident.root_causes:
        listed = cause.get("evidence")
        wanted += [
            (str(item.get("trace_id")), str(item.get("span_id")))
            for item in (listed if isinstance(listed, list) else ())
        ]
    ids = {"trace_ids": [trace_id for trace_id, _ in wanted], "span_ids": [span_id for _, span_id in wanted]}
    rows = store.read(_sql("span_details"), ids).to_pylist()
    spans = [_span(row) for row in rows]
    return {(span.trace_id, span.span_id): span for span in spans}


def load_trace(store: Store, trace_id: str) -> TracedTrace:
    """The trace in the order of its tree, all of its spans; empty when none of them is stored.

    Attributes and exceptions are read only for spans that a fact may use.
    """
    wanted = {"trace_id": trace_id.lower()}
    table = store.read(_sql("trace_spans"), wanted)
    if not table.num_rows:
        return TracedTrace(())
    tree = build_tree(table)
    length = table["duration_ns"].to_numpy()
    found = analyse_trace(table, tree.parent)
    root = max(tree.roots, key=lambda index: int(length[index]))  # an orphan's branch is rarely the main one
    on_path = set(found.critical_path(root))
    usual = _usual_times(store.read(_sql("trace_baselines"), wanted).to_pylist())
    columns = [table[name].to_pylist() for name in _COLUMNS]
    own_ns = found.self_time_ns.tolist()
    rows = list(zip(*columns, own_ns, strict=True))
    spans = []
    for index in [root, *(index for index in tree.order if index != root)]:
        (
            of_trace, span_id, parent_span_id, service, operation, kind, start_ns, duration_ns, status,
            failed, self_ns,
        ) = rows[index]  # fmt: skip
        own_p50_ns, p50_ns, samples = usual.get(Operation(service, operation, kind), _UNKNOWN)
        # A leaf's whole duration is self time.
        expected_ns = p50_ns if own_p50_ns is None and not tree.children[index] else own_p50_ns
        spans.append(
            TracedSpan(
                of_trace, span_id, parent_span_id, service, operation, kind, start_ns, duration_ns, self_ns,
                index in on_path, expected_ns, samples, status, failed,
            )
        )  # fmt: skip
    spans = _with_details(store, spans)
    waits = _message_waits(
        store, TracedTrace(spans), message_waits(table, tree.parent), tree.parent, columns[1]
    )
    return TracedTrace(spans, waits, len(spans))


def _usual_times(rows: list[dict[str, Any]]) -> dict[Operation, tuple[float | None, float, int]]:
    """(usual self time, usual duration, samples) by operation."""
    return {
        Operation.of(row): (
            row["self_time_p50_ns"],
            row["p50_ns"],
            row["sample_count"],
        )
        for row in rows
    }


def _with_details(store: Store, spans: list[TracedSpan]) -> list[TracedSpan]:
    """`spans`; those that facts may use carry their attributes, status message and exception."""
    trace = TracedTrace(spans)
    worst: dict[Operation, TracedSpan] = {}
    for span in spans:
        key = Operation(span.service, span.operation, span.kind)
        if span.on_critical_path and (key not in worst or span.excess_ns > worst[key].excess_ns):
            worst[key] = span
    slowest = sorted(worst.values(), key=lambda span: -max(span.excess_ns, span.self_time_ns))
    asked = [spans[0], *trace.deepest_errors()[:MAX_DETAILS], *slowest[:MAX_DETAILS]]
    ids = {"trace_ids": [spans[0].trace_id], "span_ids": [span.span_id for span in asked]}
    details = {
        (row["span_id"], row["span_kind"]): row for row in store.read(_sql("span_details"), ids).to_pylist()
    }
    return [
        span._replace(**_details(details[span.span_id, span.kind]))
        if (span.span_id, span.kind) in details
        else span
        for span in spans
    ]


def _details(row: dict[str, Any]) -> dict[str, Any]:
    exception = _object(row["exception"])
    return {
        "status_message": row["status_message"],
        "exception_type": str(exception.get("exception.type") or ""),
        "exception_message": str(exception.get("exception.message") or ""),
        "attributes": _object(row["attributes"]),
    }


def _message_waits(
    store: Store, trace: TracedTrace, messages: MessageWaits, parent: IntArray, span_ids: list[str]
) -> list[MessageWait]:
    """Waits outside of every span's self time: for a reply that is only linked, its caller waits."""
    found: list[MessageWait] = []
    for sender, taker, wait_ns in zip(*(column.tolist() for column in messages), strict=True):
        if parent[taker] != sender:
            continue
        producer, consumer = trace.by_id[span_ids[sender]], trace.by_id[span_ids[taker]]
        found.append(MessageWait(producer, consumer, wait_ns, *_usual_wait(store, consumer)))
        if len(found) == MAX_MESSAGE_WAITS:
            break
    return found


def _usual_wait(store: Store, consumer: TracedSpan) -> tuple[float | None, int]:
    """(median, samples) of the usual wait of messages to this operation, as detection has learned it."""
    key = {"service": consumer.service, "operation": consumer.operation, "kind": consumer.kind}
    rows = store.read(_sql("usual_message_wait"), {**key, "measure": MESSAGE_WAIT})
    usual = Sketch.from_counts(rows["bucket"].to_numpy(), rows["sample_count"].to_numpy())
    return (usual.quantile(0.5), usual.sample_count) if usual.sample_count else (None, 0)


def _span(row: dict[str, Any]) -> TracedSpan:
    """A span outside its trace: its whole duration counts as its self time."""
    return TracedSpan(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        service=row["service_name"],
        operation=row["span_name"],
        kind=row["span_kind"],
        start_unix_nano=row["start_unix_nano"],
        duration_ns=row["duration_ns"],
        self_time_ns=row["duration_ns"],
        on_critical_path=False,
        expected_ns=row["self_time_p50_ns"],
        sample_count=row["sample_count"],
        status_code=row["status_code"],
        has_exception=row["exception"] is not None,
        **_details(row),
    )


def _anomaly(row: dict[str, Any]) -> Anomaly:
    columns = {field.name: row[field.name] for field in fields(Anomaly)}
    return Anomaly(**{**columns, "details": _object(row["details"])})


def _incident(row: dict[str, Any]) -> Incident:
    ranked = json.loads(row.pop("root_causes") or "[]")
    return Incident(**row, root_causes=[cause for cause in ranked if isinstance(cause, dict)])


def _object(text: str | None) -> dict[str, object]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _sql(name: str) -> str:
    return load_sql("llm.queries", name)
