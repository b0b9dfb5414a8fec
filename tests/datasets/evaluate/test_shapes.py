"""Cases of which no service is the cause: named by their shape, told once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.incidents import IncidentFolder
from datasets.evaluate.shapes import ShapeOutcome, outcome_of, shape_figures
from tests.datasets.evaluate.incident_folder import MS, START_NS, IncidentWriter

S = 1_000 * MS


def _stopped(path: Path, *, pause_s: int, shape: str = "telemetry stopped") -> Path:
    """A request a second for six minutes, then nothing for so long, then a request a second again."""
    folder = IncidentWriter(path)
    for number in range(390):
        at_s = number if number < 360 else number + pause_s
        case_id = "pause" if 358 <= number < 362 else None
        trace_id = folder.trace(case_id)
        split = "baseline" if number < 340 else "test"
        for row in folder.spans[-2:]:
            moved = START_NS + at_s * S - row["start_time_unix_nano"]
            row |= {"split": split, "start_time_unix_nano": row["start_time_unix_nano"] + moved}
            row["end_time_unix_nano"] += moved
        folder.labels = [one for one in folder.labels if one["trace_id"] != trace_id]
    folder.labels = [{"trace_id": folder.spans[-1]["trace_id"], "anomalous": False}]
    folder.logs = folder.logs[:1]
    folder.cases = [
        {
            "case_id": "pause",
            "fault_kind": "sender_stopped",
            "root_services": ["host"],
            "root_operation": None,
            "shape": shape,
            "inject_time_unix_nano": START_NS + 360 * S,
        }
    ]
    return folder.write()


@pytest.mark.parametrize(("pause_s", "named"), [(150, 1.0), (60, 0.0)])
def test_a_sender_that_stopped_is_one_incident_with_its_name(tmp_path, pause_s, named):
    """Detection looks while nothing comes, as live; a minute is no stop yet."""
    with IncidentFolder.open(_stopped(tmp_path / "stopped", pause_s=pause_s)) as folder:
        found = evaluate(folder)
    assert found.shapes == {"telemetry stopped": {"n": 1, "named": named, "incidents": named, "alone": 0.0}}
    assert found.localisation["hit@1"] == named
    assert found.alerts is not None
    assert found.alerts["false_incidents_per_hour"] == 0


def test_noise_beside_a_shape_counts():
    """Each incident of the case's time counts, and each anomaly without one; other recordings do not."""
    case = pa.table({"run": ["a", "a"], "start_unix_nano": [100 * S, 130 * S]})
    rows = [
        (99, "a", "early"),
        (100, "a", "i"),
        (120, "a", "i"),
        (189, "a", None),
        (191, "a", None),
        (120, "b", "j"),
    ]
    anomalies = pa.table(
        {
            "start_unix_nano": [at_s * S for at_s, _, _ in rows],
            "run": [run for _, run, _ in rows],
            "incident_id": pa.array([incident for _, _, incident in rows], pa.string()),
        }
    )
    outcome = outcome_of("host saturated", "host saturated", anomalies, case)
    assert outcome == ShapeOutcome("host saturated", "host saturated", 1, 1)
    missed = outcome._replace(told="")
    assert shape_figures([outcome, missed]) == {
        "host saturated": {"n": 2, "named": 0.5, "incidents": 1.0, "alone": 1.0}
    }
