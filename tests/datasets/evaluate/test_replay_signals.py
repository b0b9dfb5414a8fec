"""Log lines and metric points of a folder go through the live detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.errors import InvalidInput
from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.incidents import IncidentFolder
from tests.datasets.evaluate.incident_folder import MS, START_NS, IncidentWriter

TRACE_NS = 20 * MS
BASELINE_TRACES, CASE_TRACES = 2_000, 200


@pytest.fixture
def broken(tmp_path: Path) -> IncidentWriter:
    """40 s of usual traces, then 4 s of such whose store logs an error and is no slower."""
    folder = IncidentWriter(tmp_path / "incidents")
    for number in range(BASELINE_TRACES):
        folder.trace(None, said=f"stored item {number}")
    for _ in range(CASE_TRACES):
        folder.trace("broken", said="disk is full", anomalous=True)
    for line in folder.logs:
        line["severity_text"] = "ERROR" if line["split"] == "test" else "INFO"
    folder.cases = [{"case_id": "broken", "fault_kind": "disk", "root_services": ["store"]}]
    folder.write()
    pq.write_table(pa.Table.from_pylist(folder.logs), folder.path / "logs.parquet")
    return folder


def fired(folder: IncidentWriter) -> dict[str, int]:
    with IncidentFolder.open(folder.path) as opened:
        result = evaluate(opened)
    assert result.cases is not None
    found: dict[str, int] = result.cases[0]["fired"]
    return found


def write_queue_depth(folder: IncidentWriter, **further: Any) -> None:
    """Ten messages in the queue, a thousand during the case; a point each half second."""
    case_begins = START_NS + 2 * BASELINE_TRACES * TRACE_NS  # `trace` counts spans, two a trace
    ends = case_begins + 2 * CASE_TRACES * TRACE_NS
    rows = [
        {
            "time_unix_nano": at,
            "service_name": "store",
            "metric_name": "queue.depth",
            "value_double": (1_000.0 if at >= case_begins else 10.0) + at // MS % 3,
            "attributes": '{"queue": "items"}',
            **further,
        }
        for at in range(START_NS, ends, 500 * MS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder.path / "metrics.parquet")


def test_a_new_error_message_is_detected(broken):
    """A fault that shows only in the log is detected by its new message, by the severity in words."""
    assert set(fired(broken)) == {"log new"}


def test_without_the_log_the_fault_is_missed(broken):
    """Nothing else in these spans tells of it."""
    (broken.path / "logs.parquet").unlink()
    assert fired(broken) == {}


def test_a_metric_that_moves_is_detected(broken):
    """A gauge that jumps during the case is an anomaly on the newest span of its service."""
    write_queue_depth(broken)
    assert set(fired(broken)) == {"log new", "metric"}


def test_metrics_need_their_columns(broken):
    """A file without a column that every metric has is refused by name; so is one of the wrong type."""
    write_queue_depth(broken, is_monotonic="yes")
    with pytest.raises(InvalidInput, match="is_monotonic"), IncidentFolder.open(broken.path):
        pass
    pq.write_table(pa.table({"time_unix_nano": [1]}), broken.path / "metrics.parquet")
    with pytest.raises(InvalidInput, match="metric_name, service_name"), IncidentFolder.open(broken.path):
        pass
