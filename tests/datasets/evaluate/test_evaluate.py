from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from datasets.evaluate.detection_scores import score_flags
from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.incidents import CaseLabel, IncidentFolder
from datasets.evaluate.localisation_scores import score_ranking, scored
from detectors.localise import SOURCES
from spyhop import app
from tests.datasets.evaluate.incident_folder import write_incidents


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    written = write_incidents(tmp_path_factory.mktemp("incidents"))
    with IncidentFolder.open(written.path) as opened:
        return evaluate(opened)


def test_every_fault_is_found_where_it_is(result):
    """Slow self time in either service and new errors in the log are localised, with the operation."""
    found = result.localisation
    assert (found["hit@1"], found["mrr"], found["all_in_top_k"], found["n"]) == (1.0, 1.0, 1.0, 3)
    assert found["operation_hit@1"] == 1.0
    assert {kind: scores["n"] for kind, scores in found["by_fault_kind"].items()} == {
        "delay": 2,
        "exception": 1,
    }


def test_slow_traces_are_flagged_and_others_not(result):
    """All forty slow traces are flagged, and none of the twenty that only log an error."""
    assert result.detection == {
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "false_positive_rate": 0.0,
        "n": 60,
        "average_precision": 1.0,
        "cases_detected": 0.6667,  # `broken` only logs an error
    }


def test_each_kind_of_fault_tells_what_fired(result):
    """Both slow cases are detected by latency and located; the one that only logs an error is missed."""
    slow, broken = result.faults["delay"], result.faults["exception"]
    assert (slow["n"], slow["detected"], slow["first"], slow["operation_first"]) == (2, 2, 2, 2)
    assert "latency" in slow["fired"]
    assert (broken["detected"], broken["missed"]) == (0, ["broken"])
    assert result.false_alarms["flagged_traces"] == 0


def test_recordings_of_one_time_are_replayed_apart(folder):
    """Two systems that ran at the same time do not share windows: each is flagged as it is alone."""
    alone = list(folder.spans)
    for row in alone:
        row["run"] = "first"
        twin = {name: f"{row[name]}2" if row[name] else "" for name in ("span_id", "parent_span_id")}
        folder.spans.append({**row, **twin, "trace_id": f"2{row['trace_id'][1:]}", "run": "second"})
    folder.labels += [{**row, "trace_id": f"2{row['trace_id'][1:]}"} for row in folder.labels]
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        detection = evaluate(opened).detection
    assert detection is not None
    assert (detection["precision"], detection["recall"], detection["n"]) == (1.0, 1.0, 120)


def test_whales_are_flagged(folder):
    """A trace whose amount is a whale counts as flagged too."""
    for row in folder.spans:
        if row["case_id"] == "broken":
            row["attributes"] = json.dumps({"order.quantity": 900.0, "order.pair": "BTC/USD"})
    for row in folder.labels:
        row["anomalous"] = True
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        detection = evaluate(opened).detection
    assert detection is not None
    assert detection["recall"] == 1.0


def test_labels_cannot_help(folder, result):
    """With other labels the ranking is the same and the scores are not: nobody looked."""
    for case in folder.cases:
        case["root_services"] = ["shop" if case["root_services"] == ["store"] else "store"]
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        other = evaluate(opened).localisation
    assert other["hit@1"] == 0.0


def test_ablations_show_what_a_source_is_worth(folder):
    """Without logs the case that shows only there is lost; each source has its row."""
    with IncidentFolder.open(folder.path) as opened:
        result = evaluate(opened, ablate=True)
    assert result.ablations is not None
    assert list(result.ablations) == list(SOURCES)
    assert result.ablations["logs"]["by_fault_kind"]["exception"]["hit@1"] == 0.0
    assert result.ablations["structure"]["hit@1"] == 1.0
    assert result.localisation["hit@1"] == 1.0


def test_scores_of_rankings():
    """Rank of the first root service, the whole set in the first ranks, and None where nothing is known."""
    label = CaseLabel(case_id="c", fault_kind="cpu", root_services=["a", "b"])

    def ranking(*services: str) -> list[dict[str, str]]:
        return [{"service": service, "operation": "x"} for service in services]

    assert score_ranking(label, ranking("b", "a")) == ("cpu", 1, True, None)
    assert score_ranking(label, ranking("b", "c", "a")) == ("cpu", 1, False, None)
    assert score_ranking(label, ranking("c", "d", "a")) == ("cpu", 3, False, None)
    assert score_ranking(label, []) == ("cpu", None, False, None)
    cases = [score_ranking(label, ranking("c", "a")), score_ranking(label, [])]
    assert scored(cases) == {
        "hit@1": 0.0,
        "hit@3": 0.5,
        "hit@5": 0.5,
        "mrr": 0.25,
        "all_in_top_k": 0.0,
        "n": 2,
        "by_fault_kind": {
            "cpu": {"hit@1": 0.0, "hit@3": 0.5, "hit@5": 0.5, "mrr": 0.25, "all_in_top_k": 0.0, "n": 2}
        },
    }
    assert scored([])["hit@1"] is None


def test_scores_of_flags():
    """Precision, recall and false-positive rate over labelled traces only."""
    labels = {"a": True, "b": True, "c": False, "d": False, "e": False}
    assert score_flags(labels, {"a", "c", "other"}) == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "false_positive_rate": 0.3333,
        "n": 5,
    }
    assert score_flags({}, set())["f1"] == 0.0


def test_command_prints_json(folder):
    """`--json` prints one object and nothing else."""
    outcome = CliRunner().invoke(app, ["eval", str(folder.path), "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    shown = json.loads(outcome.stdout)
    assert list(shown) == [
        "detection",
        "alerts",
        "localisation",
        "seconds",
        "faults",
        "cases",
        "false_alarms",
    ]
    assert [case["case_id"] for case in shown["cases"]] == ["slow", "broken", "busy"]
    assert list(shown["detection"])[:5] == ["precision", "recall", "f1", "false_positive_rate", "n"]


def test_command_prints_tables(folder):
    """Without `--json` people get tables, with a row for each kind of fault and each source left out."""
    outcome = CliRunner().invoke(app, ["eval", str(folder.path), "--ablate"])
    assert outcome.exit_code == 0, outcome.stderr
    for word in ("precision", "hit@1", "exception", "delay", "without logs", "fired", "False alarms"):
        assert word in outcome.stdout


def test_command_without_labels_has_no_detection(folder):
    """Where no trace is labelled, detection is null."""
    (folder.path / "trace_labels.parquet").unlink()
    outcome = CliRunner().invoke(app, ["eval", str(folder.path), "--json"])
    assert json.loads(outcome.stdout)["detection"] is None


def test_command_refuses_what_is_no_folder(tmp_path):
    """Wrong input is exit code 2 with one line that says what and where."""
    outcome = CliRunner().invoke(app, ["eval", str(tmp_path)])
    assert outcome.exit_code == 2
    assert "has no spans.parquet" in outcome.stderr
