"""Scores services by missing, new and surging log messages of their operations."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.behaviour import Deviation, Events
from detectors.localise.carried import Carried
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.logs.templates import Level, TemplateMiner
from detectors.model.text import share_text
from detectors.stats.arrays import IntArray

LOGS = "logs"
_TEXT_MAX = 160


def log_events(traces: Traces, _carried: Carried | None = None, /) -> Events:
    """The message templates that each span wrote."""
    logs = traces.logs
    rows = _rows_of(traces, logs)
    written = np.flatnonzero(rows >= 0)
    # The usual ones first: a template takes its form from them.
    written = written[np.argsort(traces.incident[rows[written]], kind="stable")]
    said = logs.select(["service_name", "body", "severity_number"]).take(pa.array(written)).to_pydict()
    miner = TemplateMiner()
    codes = np.array(
        [
            miner.code(service, body or "", severity or 0)
            for service, body, severity in zip(
                said["service_name"], said["body"], said["severity_number"], strict=True
            )
        ],
        dtype=np.int64,
    )
    size = max(len(miner), 1)
    pairs = np.unique(rows[written] * size + codes)
    row, code = pairs // size, pairs % size
    error = np.array([miner.level(i) == Level.ERROR for i in range(len(miner))], dtype=np.bool_)
    seen = np.zeros(len(miner), dtype=np.bool_)
    seen[code[~traces.incident[row]]] = True
    labels = [miner.text(i) for i in range(len(miner))]
    return Events(LOGS, row, code, labels, error | ~seen, ~error)


def logs(traces: Traces, found: list[Deviation]) -> Scores:
    """Scores in units of z: the strongest deviation of each service."""
    scores = Scores()
    traces.prepare(int(row) for deviation in found for row in deviation.rows[:EVIDENCE_MAX])
    for deviation in found:
        key = traces.keys[deviation.operation]
        verb = "logged" if deviation.more else "did not log"
        usual = deviation.usual_share if deviation.more else 1 - deviation.usual_share
        share = deviation.share if deviation.more else 1 - deviation.share
        label = deviation.label if len(deviation.label) <= _TEXT_MAX else deviation.label[:_TEXT_MAX] + "…"
        text = (
            f"{key.operation} {verb} '{label}', as in {share_text(share)} of its spans, "
            f"usually in {share_text(usual)}"
        )
        items = [evidence("log", traces.span(int(row)), text) for row in deviation.rows[:EVIDENCE_MAX]]
        scores.services[key.service_name] = max(scores.services[key.service_name], deviation.score)
        scores.add((key.service_name, key.operation), Finding(deviation.score, "log", items))
    return scores


def _rows_of(traces: Traces, logs: pa.Table) -> IntArray:
    """The span that wrote each line; of a line without one the first of its service in its trace; or -1."""
    if not logs.num_rows:
        return np.empty(0, dtype=np.int64)
    exact = _find(logs, traces.table, "span_id")
    loose = _find(logs, traces.table, "service_name")
    return np.where(exact >= 0, exact, loose)


def _find(logs: pa.Table, spans: pa.Table, column: str) -> IntArray:
    wanted = pc.binary_join_element_wise(logs["trace_id"], logs[column], "\x1f")
    known = pc.binary_join_element_wise(spans["trace_id"], spans[column], "\x1f")
    found = pc.fill_null(pc.index_in(wanted, value_set=known), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)
