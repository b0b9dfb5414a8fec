from __future__ import annotations

import json

import pyarrow as pa
import pytest

from collector.errors import InvalidInput
from datasets.evaluate.controls import Control, read_controls
from datasets.evaluate.quiet import false_alarms

ANOMALIES = {
    "fired": ["latency", "throughput flood", "latency"],
    "severity": [4, 5, 3],
    "trace_id": ["calm", "calm", "slow"],
    "service_name": ["shop"] * 3,
    "operation": ["buy"] * 3,
    "start_unix_nano": [10, 150, 150],
    "incident_id": ["i", "only", "i"],
    "text": ["", "a flood", ""],
    "run": ["one"] * 3,
}
INCIDENTS = {
    "incident_id": ["i", "only"],
    "kind": ["latency", "throughput"],
    "severity": [3, 5],
    "title": ["save is slow", "a flood of buy"],
    "first_span_unix_nano": [10, 150],
    "run": ["one"] * 2,
}


@pytest.fixture
def found() -> dict[str, object]:
    surge = {"kind": "load_surge", "root_service": None, "start_unix_nano": 100, "end_unix_nano": 200}
    controls = [Control(**surge, run="one", fault_id="load_surge-2"), Control(**surge, run="two")]
    return false_alarms(
        pa.table(ANOMALIES), pa.table(INCIDENTS), {"calm": False, "quiet": False, "slow": True}, controls
    )


def test_false_alarms_are_those_on_ordinary_traces(found):
    """An incident is groundless when no anomaly of it lies on a trace with a fault."""
    assert (found["ordinary_traces"], found["flagged_traces"]) == (2, 1)
    assert found["fired"] == {"latency SEV4": 1, "throughput flood SEV5": 1}
    assert found["incidents"] == ["SEV5 throughput: a flood of buy"]


def test_a_control_is_charged_with_what_began_during_it(found):
    """Only in its own recording and between its times."""
    surge, other = found["controls"]
    assert surge["control"] == "one load_surge-2"
    assert surge["fired"] == {"throughput flood SEV5": 1}
    assert surge["incidents"] == ["SEV5 throughput: a flood of buy"]
    assert [anomaly["text"] for anomaly in surge["anomalies"]] == ["a flood"]
    assert other["fired"] == {}


def test_controls_are_labels_without_a_root(tmp_path):
    """Faults among the labels are no controls; a folder without the file has none."""
    times = {"start_unix_nano": 1, "end_unix_nano": 2}
    lines = [{"kind": "noop", "root_service": None}, {"kind": "db_slow", "root_service": "shop"}]
    path = tmp_path / "labels.jsonl"
    assert read_controls(path) == []
    path.write_text("".join(json.dumps(line | times) + "\n" for line in lines))
    assert [control.name for control in read_controls(path)] == ["noop"]


def test_a_broken_label_is_refused_with_its_line(tmp_path):
    """The error names file, line and what is missing."""
    path = tmp_path / "labels.jsonl"
    path.write_text('{"kind": "noop", "root_service": null, "start_unix_nano": 1}\n')
    with pytest.raises(InvalidInput, match=r"labels.jsonl, line 1: end_unix_nano"):
        read_controls(path)
