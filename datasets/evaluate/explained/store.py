"""Stores the cases of a folder as incidents, so that the code of the live path explains them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from datasets.evaluate.groups import Groups
from detectors.trace.analysis import analyse_trace
from llm.analysis.subject import load_trace

_QUERIES = "datasets.evaluate.queries"
_SEVERITY = 2
_SLOW = 1.5  # times its usual time: below it, a trace with a failed span stands for its failure
MAX_CITED_TRACES = 20  # of a case, beside its exemplar: those that its causes' evidence names


def insert_usual(store: Store, spans: pa.Table) -> None:
    """The usual times of all operations of the baseline rows."""
    own = analyse_trace(spans).self_time_ns
    with store.transaction() as con:
        con.register("usual_spans", spans.append_column("self_time_ns", pa.array(own)))
        con.execute(load_sql(_QUERIES, "explain_baselines"))
        con.unregister("usual_spans")


class CaseStore:
    """Puts cases into a store, one incident each."""

    def __init__(self, store: Store, all_spans: pa.Table) -> None:
        self._store = store
        self._spans = Groups(all_spans, "trace_id")

    def add_traces(self, traces: Sequence[str]) -> None:
        rows = self._spans.of(traces)
        batch = pa.array(np.ones(rows.num_rows, dtype=np.int64))
        with self._store.transaction() as con:
            con.register("replayed_spans", rows.append_column("batch_id", batch))
            con.execute(load_sql(_QUERIES, "replay_spans"))
            con.unregister("replayed_spans")

    def add_case(self, case_id: str, traces: Sequence[str], causes: Sequence[Mapping[str, Any]]) -> str:
        """The incident of a case; returns the id of its exemplar trace, the one its first cause cites."""
        cited = [str(item.get("trace_id")) for cause in causes for item in cause.get("evidence") or ()]
        own = set(traces)
        known = [trace for trace in dict.fromkeys(cited) if trace in own][: MAX_CITED_TRACES + 1]
        exemplar = known[0] if known else traces[0]
        self.add_traces([exemplar, *known[1:]])
        trace = load_trace(self._store, exemplar)
        root = trace.spans[0]
        rows = self._spans.of(traces)
        starts = pc.min_max(rows["start_unix_nano"]).as_py()
        expected = self._usual_ns(root.service, root.operation)
        if _fail(rows) or root.duration_ns < _SLOW * expected:  # what was raised is then the nearest failure
            root = next((span for span in trace.spans if span.status_code == "ERROR"), root)
        failed = root.status_code == "ERROR"
        text = _failures(rows, root.service, root.operation) if failed else ""
        shared = {
            "case_id": case_id, "trace_id": exemplar, "service": root.service, "severity": _SEVERITY,
            "detector": "error" if failed else "latency",
        }  # fmt: skip
        with self._store.transaction() as con:
            con.execute(
                load_sql(_QUERIES, "explain_incident"),
                {**shared, "title": f"{root.operation} in {root.service}", "first": starts["min"],
                 "last": starts["max"], "anomaly_count": len(traces), "trace_count": len(traces),
                 "root_causes": json.dumps(list(causes), default=str)},
            )  # fmt: skip
            con.execute(
                load_sql(_QUERIES, "explain_anomaly"),
                {**shared, "anomaly_id": f"an-{case_id}", "at": root.start_unix_nano, "sigma": 5.0,
                 "span_id": root.span_id, "operation": root.operation, "span_kind": root.kind,
                 "duration_ns": root.duration_ns, "observed": 1.0 if failed else float(root.duration_ns),
                 "expected": 0.0 if failed else expected, "unit": "" if failed else "ns",
                 "sample_count": root.sample_count or 1, "text": text},
            )  # fmt: skip
        return exemplar

    def _usual_ns(self, service: str, operation: str) -> float:
        rows = self._store.read(
            "SELECT p50_ns FROM baselines WHERE service_name = ? AND operation = ?", [service, operation]
        ).to_pylist()
        return float(rows[0]["p50_ns"]) if rows else 0.0


def _fail(spans: pa.Table) -> bool:
    """Whether most of these traces have a failed span."""
    failed = spans.filter(pc.equal(spans["status_code"], "ERROR"))["trace_id"]
    return bool(pc.count_distinct(failed).as_py() * 2 > pc.count_distinct(spans["trace_id"]).as_py())


def _failures(spans: pa.Table, service: str, operation: str) -> str:
    """As live detection words them: "12 of 80 calls failed"."""
    own = spans.filter(
        pc.and_(pc.equal(spans["service_name"], service), pc.equal(spans["operation"], operation))
    )
    failed = pc.sum(pc.equal(own["status_code"], "ERROR")).as_py() or 0
    return f"{failed} of {own.num_rows} calls failed"
