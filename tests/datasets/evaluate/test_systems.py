"""Detection on systems of other shapes than the exchange, each in a small version (`systems.py`)."""

from __future__ import annotations

import pytest

from datasets.evaluate.detection_scores import average_precision, score_flags
from datasets.evaluate.incidents import IncidentFolder
from detectors.baseline.learn import learn_traces
from detectors.baseline.models import Baselines
from detectors.baseline.settled import SettledTraces
from detectors.scoring.trace_score import TRACE_SIGMA, score_traces
from detectors.settings import Settings
from tests.datasets.evaluate.systems import fan_out, write_system


@pytest.mark.parametrize(
    ("name", "baseline", "test", "f1"),
    [("batch", 1_000, 600, 0.95), ("agents", 1_000, 600, 0.9)],
)
def test_faults_of_unlike_systems_are_found(tmp_path, name, baseline, test, f1):
    """Queues with stages of minutes, and agents in loops: five kinds of faults each, by traces' scores."""
    scored(tmp_path, name, baseline, test, f1)


def test_faults_behind_a_fan_out_are_found(tmp_path, monkeypatch):
    """A search over shards that returns early, some hundred spans a trace."""
    few = lambda rng, fault: fan_out(rng, fault, shards=40)  # noqa: E731  # the system with fewer shards
    monkeypatch.setattr("tests.datasets.evaluate.systems.SYSTEMS", {"fan_out": (few, FAULTS, 2.0)})
    scored(tmp_path, "fan_out", 900, 360, 0.95)


FAULTS = ("slow shard", "slow merge", "no cache", "shard fails", "skips ranking")


def scored(path, name, baseline, test, f1):
    write_system(path / name, name, seed=3, baseline=baseline, test=test)
    with IncidentFolder.open(path / name) as folder:
        baselines = Baselines(Settings())
        learn_traces(SettledTraces.of(folder.baseline_spans()), baselines)
        scores = score_traces(SettledTraces.of(folder.test_spans()), baselines)
        labels = folder.trace_labels()
    sigma = dict(zip(scores["trace_id"].to_pylist(), scores["anomaly_sigma"].to_pylist(), strict=True))
    found = score_flags(labels, {trace_id for trace_id, value in sigma.items() if value >= TRACE_SIGMA})
    assert found["f1"] >= f1
    assert found["false_positive_rate"] <= 0.01
    assert average_precision(labels, sigma) >= f1
