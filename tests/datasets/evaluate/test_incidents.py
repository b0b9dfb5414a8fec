from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.errors import InvalidInput
from datasets.evaluate.incidents import IncidentFolder


def problem(folder) -> str:
    with pytest.raises(InvalidInput) as caught, IncidentFolder.open(folder.path) as opened:
        opened.labels()
    return str(caught.value)


def test_columns_are_those_of_the_live_path(folder):
    """Empty parents are roots, statuses and times are read as the store has them."""
    folder.spans[0] |= {"status_code": "STATUS_CODE_ERROR"}
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        first = opened.baseline_spans().to_pylist()[0]
        assert opened.case_ids() == ["broken", "busy", "slow"]
        assert opened.case_spans("slow").num_rows == 40
        assert opened.case_logs("slow").num_rows == 20
    assert first["parent_span_id"] is None
    assert (first["status_code"], first["span_kind"]) == ("ERROR", "UNSPECIFIED")
    assert (
        first["duration_ns"]
        == folder.spans[0]["end_time_unix_nano"] - folder.spans[0]["start_time_unix_nano"]
    )
    assert first["operation_key"] == "shop\x1fbuy\x1fUNSPECIFIED"


def test_an_exception_is_a_failure_unless_the_status_says_ok(folder):
    """Some SDKs record an exception and leave the status as it was."""
    raised = json.dumps({"exception.type": "ValueError"})
    folder.spans[0] |= {"attributes": raised}
    folder.spans[1] |= {"attributes": raised, "status_code": "STATUS_CODE_OK"}
    folder.write()
    with IncidentFolder.open(folder.path) as opened:
        failed = {row["span_id"] for row in opened.baseline_spans().to_pylist() if row["failed"]}
        replayed = {row["span_id"] for row in opened.all_spans().to_pylist() if row["raised"]}
    assert failed == replayed == {folder.spans[0]["span_id"]}


def test_only_the_required_columns_and_files_are_needed(folder):
    """Without kind, status, attributes, logs and labels a folder is complete."""
    for name in ("attributes", "status_code"):
        folder.drop_column(name)
    for name in ("logs", "trace_labels"):
        (folder.path / f"{name}.parquet").unlink()
    with IncidentFolder.open(folder.path) as opened:
        assert not opened.has_trace_labels
        assert opened.baseline_logs().num_rows == 0
        assert opened.baseline_amounts().num_rows == 0
        assert {label.case_id for label in opened.labels()} == {"slow", "broken", "busy"}


def test_a_trace_may_belong_to_several_cases(folder):
    """`case_traces.parquet` adds traces to a case and may name cases that no row does."""
    trace_id = next(row["trace_id"] for row in folder.spans if row["case_id"] == "busy")
    members = pa.table({"case_id": ["slow", "extra"], "trace_id": [trace_id] * 2})
    pq.write_table(members, folder.path / "case_traces.parquet")
    with IncidentFolder.open(folder.path) as opened:
        assert opened.case_ids() == ["broken", "busy", "extra", "slow"]
        assert opened.case_spans("slow").num_rows == 42
        assert set(opened.case_spans("extra")["trace_id"].to_pylist()) == {trace_id}
        assert opened.case_spans("busy").num_rows == 40


def test_attributes_carry_amounts(folder):
    """Amounts are read from the JSON text of attributes."""
    with IncidentFolder.open(folder.path) as opened:
        amounts = opened.baseline_amounts()
    assert amounts.num_rows == 300
    assert set(amounts["asset"].to_pylist()) == {"BTC"}


@pytest.mark.parametrize("name", ["spans.parquet", "cases.json"])
def test_missing_file(folder, name):
    """The message names the file that is missing."""
    (folder.path / name).unlink()
    assert f"has no {name}" in problem(folder)


def test_no_folder(folder):
    """A path that is not a folder is wrong use."""
    folder.path = folder.path / "nowhere"
    assert "is not a folder" in problem(folder)


def test_missing_column(folder):
    """The message names the column that is missing, and those that are there."""
    folder.drop_column("service_name")
    assert "spans.parquet has no column service_name: it has trace_id" in problem(folder)


def test_wrong_type(folder):
    """The message names the column, its type, and what it must be."""
    file = folder.path / "spans.parquet"
    spans = pq.read_table(file)
    at = spans.schema.get_field_index("start_time_unix_nano")
    pq.write_table(spans.set_column(at, "start_time_unix_nano", spans[at].cast(pa.string())), file)
    assert "column start_time_unix_nano is VARCHAR: it must be a whole number" in problem(folder)


def test_not_parquet(folder):
    """A file that is no Parquet is named, with the reason."""
    (folder.path / "logs.parquet").write_text("no")
    assert "logs.parquet cannot be read as Parquet" in problem(folder)


def test_nothing_to_learn_from(folder):
    """A folder without baseline rows is refused."""
    folder.spans = [row for row in folder.spans if row["split"] == "test"]
    folder.write()
    assert "has no baseline rows" in problem(folder)


def test_unknown_split(folder):
    """Only two words are known for `split`."""
    folder.spans[0]["split"] = "train"
    folder.write()
    assert "split is 'train': use 'baseline' and 'test'" in problem(folder)


def test_missing_value(folder):
    """Rows without what every span has are counted."""
    folder.spans[0]["service_name"] = None
    folder.write()
    assert "1 rows lack an id, a service, a name or a time" in problem(folder)


def test_case_without_spans(folder):
    """A case that no row belongs to is named."""
    folder.cases.append({**folder.cases[0], "case_id": "ghost"})
    folder.write()
    assert "case 'ghost'" in problem(folder)
    assert "has no spans" in problem(folder)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("{", "not JSON"),
        (json.dumps({"case_id": "slow"}), "list"),
        (json.dumps([{"case_id": "slow", "fault_kind": "delay", "root_services": []}]), "0.root_services"),
        (
            json.dumps([{"case_id": "slow", "fault_kind": "delay", "root_services": "store"}]),
            "0.root_services",
        ),
    ],
)
def test_labels_that_cannot_be_read(folder, entries, said):
    """Errors in `cases.json` name their place."""
    (folder.path / "cases.json").write_text(entries)
    assert said in problem(folder)


def test_case_listed_twice(folder):
    """A case counts once."""
    folder.cases.append(folder.cases[0])
    folder.write()
    assert "case 'slow' is listed twice" in problem(folder)
