"""Store → case: the rows about a subject, with the exemplar trace measured against its baselines."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from collector.errors import NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.book import GAP_MEASURE
from detectors.baseline.sketch import IntArray, Sketch
from detectors.trace.analysis import MessageWaits, analyse_trace, message_waits
from detectors.trace.tree import build_tree
from llm.case import Anomaly, Case, Incident
from llm.explanation import Subject
from llm.traced import Gap, TracedSpan, TracedTrace

MAX_SPANS = 5_000  # of one trace; what lies beyond is counted, not read
MAX_GAPS = 5
MAX_ANOMALIES = 3


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
    """What `Case.size` would be, without loading the case; 0 when nothing is stored."""
    rows = store.read(_SIZES[subject.kind], {"id": subject.id}).to_pylist()
    return int(next(iter(rows[0].values()))) if rows else 0


def subject_basis(store: Store, subject: Subject) -> str:
    """A digest of what an incident's text rests on besides its size: title, causes, detectors. Else empty."""
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
        return Case(subject, load_trace(store, subject.id))
    if subject.kind == "anomaly":
        anomaly = _anomaly(store.read(_sql("anomaly"), {"id": subject.id}).to_pylist()[0])
        return Case(subject, load_trace(store, anomaly.trace_id), [anomaly])
    incident = _incident(store.read(_sql("incident"), {"id": subject.id}).to_pylist()[0])
    wanted = {"id": subject.id, "trace_id": incident.exemplar_trace_id, "limit": MAX_ANOMALIES}
    anomalies = [_anomaly(row) for row in store.read(_sql("incident_anomalies"), wanted).to_pylist()]
    trace = load_trace(store, incident.exemplar_trace_id)
    return Case(subject, trace, anomalies, incident, _cited(store, incident, anomalies))


def _cited(store: Store, incident: Incident, anomalies: list[Anomaly]) -> dict[tuple[str, str], TracedSpan]:
    """The spans that the incident's causes and anomalies speak of; those not stored are left out."""
    wanted = [(anomaly.trace_id, anomaly.span_id) for anomaly in anomalies]
    for cause in incident.root_causes:
        listed = cause.get("evidence")
        wanted += [
            (str(item.get("trace_id")), str(item.get("span_id")))
            for item in (listed if isinstance(listed, list) else ())
        ]
    ids = {"trace_ids": [trace_id for trace_id, _ in wanted], "span_ids": [span_id for _, span_id in wanted]}
    rows = store.read(_sql("cited_spans"), ids).to_pylist()
    spans = [_span(row, row["duration_ns"], on_path=False, is_leaf=False) for row in rows]
    return {(span.trace_id, span.span_id): span for span in spans}


def load_trace(store: Store, trace_id: str) -> TracedTrace:
    """The trace in the order of its tree; empty when none of its spans is stored."""
    table = store.read(_sql("trace_spans"), {"trace_id": trace_id.lower(), "limit": MAX_SPANS})
    if not table.num_rows:
        return TracedTrace(())
    tree = build_tree(table)
    length = table["duration_ns"].to_numpy()
    found = analyse_trace(table, tree.parent)
    root = max(tree.roots, key=lambda index: int(length[index]))  # an orphan's branch is rarely the story
    on_path = set(found.critical_path(root))
    rows = table.to_pylist()
    spans = [
        _span(
            rows[index],
            int(found.self_time_ns[index]),
            on_path=index in on_path,
            is_leaf=not tree.children[index],
        )
        for index in [root, *(index for index in tree.order if index != root)]
    ]
    gaps = _gaps(store, TracedTrace(spans), message_waits(table, tree.parent), tree.parent, rows)
    return TracedTrace(spans, gaps, int(table["span_count"][0].as_py()))


def _gaps(
    store: Store, trace: TracedTrace, messages: MessageWaits, parent: IntArray, rows: list[dict[str, Any]]
) -> list[Gap]:
    """Waits that no span's self time holds: a reply that is only linked is waited for by who called."""
    found: list[Gap] = []
    for sender, taker, wait_ns in zip(*(column.tolist() for column in messages), strict=True):
        if parent[taker] != sender:
            continue
        producer, consumer = trace.by_id[rows[sender]["span_id"]], trace.by_id[rows[taker]["span_id"]]
        found.append(Gap(producer, consumer, wait_ns, *_usual_gap(store, consumer)))
        if len(found) == MAX_GAPS:
            break
    return found


def _usual_gap(store: Store, consumer: TracedSpan) -> tuple[float | None, int]:
    """(median, samples) of what messages to this operation usually wait, as detection has learned it."""
    key = {"service": consumer.service, "operation": consumer.operation, "kind": consumer.kind}
    rows = store.read(_sql("usual_message_wait"), {**key, "measure": GAP_MEASURE})
    usual = Sketch.from_counts(rows["bucket"].to_numpy(), rows["sample_count"].to_numpy())
    return (usual.quantile(0.5), usual.sample_count) if usual.sample_count else (None, 0)


def _span(row: dict[str, Any], own_ns: int, *, on_path: bool, is_leaf: bool) -> TracedSpan:
    exception = _object(row["exception"])
    usual_ns = row["exclusive_p50_ns"]
    if usual_ns is None and is_leaf:  # all of a leaf's time is its own
        usual_ns = row["p50_ns"]
    return TracedSpan(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        service=row["service_name"],
        operation=row["span_name"],
        kind=row["span_kind"],
        start_unix_nano=row["start_unix_nano"],
        duration_ns=row["duration_ns"],
        exclusive_ns=own_ns,
        on_critical_path=on_path,
        expected_ns=usual_ns,
        sample_count=row["sample_count"],
        status_code=row["status_code"],
        status_message=row["status_message"],
        exception_type=str(exception.get("exception.type") or ""),
        exception_message=str(exception.get("exception.message") or ""),
        attributes=_object(row["attributes"]),
    )


def _anomaly(row: dict[str, Any]) -> Anomaly:
    return Anomaly(
        anomaly_id=row["anomaly_id"],
        detector=row["detector"],
        severity=row["severity"],
        sigma=row["sigma"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        service=row["service_name"],
        operation=row["operation"],
        span_kind=row["span_kind"],
        start_unix_nano=row["start_unix_nano"],
        duration_ns=row["span_duration_ns"],
        observed=row["observed"],
        expected=row["expected"],
        unit=row["unit"],
        cell=row["cell"],
        sample_count=row["sample_count"],
        details=_object(row["details"]),
        incident_id=row["incident_id"],
    )


def _incident(row: dict[str, Any]) -> Incident:
    ranked = json.loads(row.pop("root_causes") or "[]")
    return Incident(**row, root_causes=[cause for cause in ranked if isinstance(cause, dict)])


def _object(text: str | None) -> dict[str, object]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _sql(name: str) -> str:
    return load_sql("llm.queries", name)
