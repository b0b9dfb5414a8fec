from __future__ import annotations

import json

import pyarrow as pa
import pytest

from datasets.evaluate.evaluation import Reference, evaluate
from datasets.evaluate.incidents import IncidentFolder
from datasets.evaluate.live_causes import Raised, as_live, moved_metrics
from detectors.baseline.models import Baselines
from detectors.settings import Settings

RANKING = [{"service": "db", "rank": 1}, {"service": "wallet", "rank": 2}]
WHALE = [{"service": "wallet", "rank": 1}]


def incident(severity: int, causes: list[dict[str, object]] | None, *, first: int = 0) -> Raised:
    return Raised(severity, first, frozenset({"t"}), causes)


@pytest.mark.parametrize(
    ("incidents", "services"),
    [
        ([], ["db", "wallet"]),
        ([incident(1, WHALE)], ["wallet", "db"]),
        ([incident(2, None), incident(1, WHALE)], ["wallet", "db"]),
        ([incident(1, WHALE), incident(1, None, first=9)], ["db", "wallet"]),
        ([incident(3, WHALE), incident(2, None)], ["db", "wallet"]),
        ([incident(1, [{"service": "feed", "rank": 1}], first=2), incident(1, WHALE)], ["wallet", "db"]),
    ],
    ids=["none", "event", "worse event", "calls win a tie", "mild event", "earlier event"],
)
def test_worst_incident_decides(incidents, services):
    """The worst incident on the traces decides; calls come before events, the earlier before the later."""
    merged = as_live(incidents, ["s", "t"], RANKING)
    assert [cause["service"] for cause in merged] == services
    assert [cause["rank"] for cause in merged] == list(range(1, len(merged) + 1))


def test_incident_elsewhere_changes_nothing():
    """An incident on other traces says nothing of this case."""
    assert as_live([incident(1, WHALE)], ["u"], RANKING) == RANKING


def test_whale_is_blamed_on_where_it_entered(folder):
    """A case whose traces carry whales is ranked as the incident of whales is: first where they entered."""
    for row in folder.spans:
        if row["case_id"] == "broken":
            row["attributes"] = json.dumps({"order.quantity": 900.0, "order.pair": "BTC/USD"})
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        ranks = {case["case_id"]: case["rank"] for case in evaluate(opened).cases or []}
    assert ranks["broken"] != 1
    for case in folder.cases:
        if case["case_id"] == "broken":
            case["root_services"] = ["shop"]
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        ranks = {case["case_id"]: case["rank"] for case in evaluate(opened).cases or []}
    assert ranks["broken"] == 1


def test_case_is_compared_with_its_own_recording(folder):
    """A second recording is another system: nothing of it is usual for the first."""
    with IncidentFolder.open(folder.path) as opened:
        alone = evaluate(opened).localisation
    for row in [row for row in folder.spans if row["split"] == "baseline"]:
        row["run"] = "first"
        twin = {
            "span_id": row["span_id"] + "x",
            "parent_span_id": row["parent_span_id"] and row["parent_span_id"] + "x",
        }
        port = json.dumps({"server.port": 9})
        folder.spans.append(
            {**row, **twin, "trace_id": "f" + row["trace_id"][1:], "run": "second", "attributes": port}
        )
    for row in folder.spans:
        row.setdefault("run", "first")
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        reference = Reference(opened, opened.baseline_spans(), Baselines(Settings()))
        for case_id in opened.case_ids():
            assert set(reference.usual(opened.case_spans(case_id)).spans["run"].to_pylist()) == {"first"}
        assert evaluate(opened).localisation["hit@1"] == alone["hit@1"]


def test_metrics_count_that_moved_while_a_case_went_on():
    """Of the case's own recording, overlapping its time; anomalies of other detectors have no such times."""
    anomalies = pa.table(
        {
            "detector": ["metric"] * 4 + ["latency"],
            "run": ["a", "a", "a", "b", "a"],
            "operation": ["before", "during", "after", "elsewhere", "GET"],
            "since_unix_nano": pa.array([0, 8, 30, 8, None], pa.int64()),
            "until_unix_nano": pa.array([9, 12, 31, 12, None], pa.int64()),
        }
    )
    case = pa.table({"run": ["a", "a"], "start_unix_nano": [10, 20]})
    assert moved_metrics(anomalies, case)["metric_name"].to_pylist() == ["during"]
