from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from exchange_ref.errors import FolderUnusable
from exchange_ref.scenario.outside import HOST_SATURATED, SENDER_STOPPED, Happened, Outside, Sender, happen
from exchange_ref.scenario.outside_truth import label_of
from exchange_ref.scenario.plan import Scenario, Split, plans
from exchange_ref.scenario.run import play

TINY = Scenario(
    "tiny",
    1,
    60.0,
    1.5,
    1.0,
    2.5,
    1.0,
    {
        Split.TUNE: (("gateway_delay", "error_burst"), ("whale_order",), ("deploy_shift",)),
        Split.JUDGE: (("noop",),),
    },
    warm_up_s=0.5,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A scenario of two cases and a control, played in about 12 s."""
    out = tmp_path_factory.mktemp("scenario") / "tiny"
    return out, play(TINY, Split.TUNE, 1, out, lambda _: None)


def test_the_folder_is_in_the_evaluation_format(written: tuple[Path, dict[str, Any]]) -> None:
    """Columns and types are those of the format; every span is there once, in whole traces of one split."""
    out, summary = written
    spans = pl.read_parquet(out / "spans.parquet")
    assert dict(spans.schema) == {
        **dict.fromkeys(
            ("trace_id", "span_id", "parent_span_id", "service_name", "span_name", "span_kind"), pl.String
        ),
        **dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), pl.Int64),
        **dict.fromkeys(("status_code", "attributes", "case_id", "split", "run"), pl.String),
    }
    assert spans.height == summary["spans"] == spans["span_id"].n_unique()
    assert summary["spans_dropped"] == 0
    assert spans.filter(pl.col("parent_span_id") == "").height == spans["trace_id"].n_unique()
    per_trace = spans.group_by("trace_id").agg(pl.col("split", "case_id").n_unique())
    assert per_trace.select(pl.max("split", "case_id")).row(0) == (1, 1)
    assert set(spans["split"]) == {"baseline", "test"}
    assert all(json.loads(text) is not None for text in spans["attributes"].head(50))


def test_cases_name_their_roots(written: tuple[Path, dict[str, Any]]) -> None:
    """A case for each step with faults, at its time; a pair has both roots; the control is none."""
    out, summary = written
    cases = json.loads((out / "cases.json").read_text())
    assert summary["unverified"] == []
    assert {case["fault_kind"]: sorted(case["root_services"]) for case in cases} == {
        "gateway_delay+error_burst": ["api-gateway", "kx-exchange"],
        "whale_order": ["kx-wallet"],
    }
    spans = pl.read_parquet(out / "spans.parquet")
    for case in cases:
        mine = spans.filter(pl.col("case_id") == case["case_id"])
        assert mine.height > 0
        ends = mine.group_by("trace_id").agg(pl.col("end_time_unix_nano").max())["end_time_unix_nano"]
        assert ends.min() >= case["inject_time_unix_nano"]
        assert set(mine["split"]) == {"test"}
    assert set(spans["case_id"].drop_nulls()) == {case["case_id"] for case in cases}


def test_trace_labels_are_the_affected_traces(written: tuple[Path, dict[str, Any]]) -> None:
    """Anomalous are exactly the traces that met a fault; all labelled ones are test traces."""
    out, _ = written
    spans = pl.read_parquet(out / "spans.parquet")
    marked = pl.read_parquet(out / "trace_labels.parquet")
    met = {
        trace_id
        for line in (out / "labels.jsonl").read_text().splitlines()
        for trace_id in json.loads(line)["trace_ids"]
    }
    assert set(marked.filter("anomalous")["trace_id"]) == met
    assert marked.filter(~pl.col("anomalous")).height > 100
    assert set(marked["trace_id"]) <= set(spans.filter(pl.col("split") == "test")["trace_id"])


def test_metrics_of_every_service_are_there_each_second(written: tuple[Path, dict[str, Any]]) -> None:
    """Among them the memory of the process, which no span tells of; times are those of the run."""
    out, summary = written
    points, spans = pl.read_parquet(out / "metrics.parquet"), pl.read_parquet(out / "spans.parquet")
    assert points.height == summary["metric_points"]
    assert set(points["service_name"]) == {"api-gateway", "kx-exchange", "kx-matcher"}
    assert set(points["metric_kind"]) == {"gauge", "sum", "histogram"}
    memory = points.filter(pl.col("metric_name") == "process.memory.usage")
    assert memory["value_int"].min() > 10_000_000  # type: ignore[operator]  # polars' wide type
    began, ended = spans["start_time_unix_nano"].min(), spans["end_time_unix_nano"].max()
    length_s = (ended - began) / 1e9  # type: ignore[operator]  # as above
    assert memory.height == pytest.approx(length_s, abs=3)
    assert memory["time_unix_nano"].is_between(began - 2 * 10**9, ended + 5 * 10**9).all()  # type: ignore[operator]
    counted = points.filter(pl.col("metric_kind") == "histogram")
    assert counted["sum"].is_not_null().all()
    assert set(counted["temporality"]) == {"CUMULATIVE"}


def test_logs_share_the_traces_of_the_spans(written: tuple[Path, dict[str, Any]]) -> None:
    """Each log has a trace of the folder and its split and case; the failures of the case are among them."""
    out, summary = written
    logs, spans = pl.read_parquet(out / "logs.parquet"), pl.read_parquet(out / "spans.parquet")
    assert logs.height == summary["logs"] > 100
    keys = ["trace_id", "split", "case_id"]
    assert logs.join(spans.select(keys).unique(), on=keys, how="anti", nulls_equal=True).is_empty()
    assert logs.join(spans, on=["trace_id", "span_id", "service_name"], how="anti").is_empty()
    failed = logs.filter(pl.col("severity_text") == "ERROR")
    assert set(failed["case_id"].str.contains("error_burst")) == {True}


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """Files in the folder are not overwritten."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FolderUnusable, match="--out"):
        play(TINY, Split.TUNE, 1, tmp_path, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_runs_at_the_same_time_make_the_same_folder(tmp_path: Path) -> None:
    """Two seeds in two processes end in one folder, in the order of the seeds, with the labels of both."""
    pair = replace(
        TINY,
        seeds=2,
        baseline_s=1.0,
        for_s=0.5,
        rest_s=0.3,
        mixes={Split.JUDGE: (("whale_order",), ("noop",))},
    )
    out = tmp_path / "pair"
    summary = play(pair, Split.JUDGE, 4, out, lambda _: None, parallel=2)
    cases = json.loads((out / "cases.json").read_text())
    assert [case["case_id"].split("-")[2] for case in cases] == ["4", "5"]
    labels = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    assert sorted(label["kind"] for label in labels) == ["noop", "noop", "whale_order", "whale_order"]
    assert (summary["unverified"], summary["spans_dropped"]) == ([], 0)
    spans = pl.read_parquet(out / "spans.parquet")
    # Each row and each label says of which run it is, so that they can be told apart.
    assert (
        list(dict.fromkeys(label["run"] for label in labels))
        == spans["run"].unique(maintain_order=True).to_list()
    )
    assert spans.group_by("trace_id").agg(pl.col("run").n_unique())["run"].max() == 1
    starts = spans["start_time_unix_nano"]
    assert summary["spans"] == len(starts) > 500
    # One after another they would have taken twice the time of one.
    assert (starts.max() - starts.min()) / 1e9 < 2 * plans(pair, Split.JUDGE, 4)[0].duration_s


def test_a_stopped_sender_is_a_case_of_the_whole_system(tmp_path: Path) -> None:
    """What ended while nothing left is lost, what began before the baseline is not recorded, and the truth
    is a shape; no process of it is left."""
    stopped = replace(
        TINY,
        warm_up_s=1.5,
        mixes={Split.JUDGE: ()},
        outside=Outside(SENDER_STOPPED, 1.5, 2.0),
    )
    out = tmp_path / "stopped"
    summary = play(stopped, Split.JUDGE, 1, out, lambda _: None)
    (case,) = json.loads((out / "cases.json").read_text())
    (label,) = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    assert (case["shape"], case["fault_kind"], label["kind"]) == (
        "telemetry stopped",
        "sender_stopped",
        "sender_stopped",
    )
    assert summary["unverified"] == []
    assert int(str(summary["spans_dropped"])) > 100
    spans, start = pl.read_parquet(out / "spans.parquet"), case["inject_time_unix_nano"]
    ended = spans["end_time_unix_nano"]
    # An export takes what has waited for it, a fifth of a second.
    assert ended.is_between(start, label["end_unix_nano"] - 500_000_000).sum() == 0
    assert ended.max() > label["end_unix_nano"]  # type: ignore[operator]  # polars' wide type
    began_s = (start - spans["start_time_unix_nano"].min()) / 1e9  # type: ignore[operator]  # as above
    assert began_s == pytest.approx(1.5, abs=0.4)
    assert case["case_id"] in set(spans["case_id"].drop_nulls())


def _children() -> int:
    """The processes that this thread has started and that live."""
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_a_host_is_saturated_by_others_and_left_alone_after(tmp_path: Path) -> None:
    """So many processes compute beside the exchange, and none is left."""
    burning = Outside(HOST_SATURATED, 0.0, 0.6, burners=1)
    stop = asyncio.Event()

    async def around() -> tuple[Happened, int]:
        task = asyncio.create_task(happen(burning, 0.0, Sender(), stop))
        await asyncio.sleep(0.3)
        count = _children()
        return await task, count

    before = _children()
    happened, during = asyncio.run(around())
    assert during == before + 1
    assert _children() == before
    assert happened.end_unix_nano - happened.start_unix_nano == pytest.approx(6e8, rel=0.5)


@pytest.mark.parametrize(("slow", "verified"), [(0, False), (4, False), (6, True)])
def test_a_saturated_host_is_a_case_where_most_requests_took_twice_as_long(slow: int, verified: bool) -> None:
    """Burners that slowed nothing are no case; the requests that were slowed are the anomalous ones."""
    took = [10] * 10 + [30] * slow + [10] * (10 - slow)
    spans = pl.DataFrame(
        {
            "trace_id": [str(number) for number in range(20)],
            "parent_span_id": [""] * 20,
            "span_name": ["POST /orders"] * 20,
            "start_time_unix_nano": list(range(20)),
            "end_time_unix_nano": [number + ms for number, ms in enumerate(took)],
        }
    )
    label = label_of(Happened(Outside(HOST_SATURATED, 1.0, 1.0), 10, 20), spans)
    assert label["impact_verified"] is verified
    assert label["trace_ids"] == [str(number) for number in range(10, 10 + slow)]
