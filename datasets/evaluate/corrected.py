"""Corrections → a folder of labelled incidents: each correction of an engineer becomes a case of `spyhop
eval`.

A case's spans are those of the incident's traces. Usual behaviour is learned from traces that began in the
quarter of an hour before it and are in no incident. All data is read over HTTP, while the server runs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from collector.client import Client
from collector.store.sqlfile import load_sql
from datasets.errors import NothingToExport, OutputUnusable
from datasets.export.gold import Reject
from datasets.export.labelled import Database, Labelled
from datasets.export.select import Filters, select
from datasets.export.settings import Settings

_QUERIES = "datasets.evaluate.queries"
MAX_CASE_TRACES = 400
MAX_USUAL_TRACES = 2_000
USUAL_BEFORE_S = 900
NO_PLACE = "names no root service"
EXPIRED = "its traces are no longer stored"
NO_USUAL = "no usual traces are stored from before it"


@dataclass
class Cases:
    """The written cases, and the corrections that made no case."""

    labels: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    span_count: int = 0


def write_cases(client: Client, folder: Path, filters: Filters) -> Cases:
    """Write `spans.parquet` and `cases.json` for every correction that names a root service.

    Raises:
        NothingToExport: no correction makes a case; nothing is written.
        OutputUnusable: the folder holds something, or cannot be written.
    """
    source = Database.of_client(client)
    selection = select(source, filters, Settings())
    corrected = [head for head in selection.chosen if head.is_corrected]
    found, tables, usual = Cases(), [], set[str]()
    for example in source.labelled(corrected):
        table = _case(client, example, found, usual)
        if table is not None:
            tables.append(table)
    if not tables:
        reasons = ", ".join(sorted({reject.reason for reject in found.rejects})) or "there is no correction"
        raise NothingToExport(
            f"there is nothing to write: {reasons}",
            hint="correct an explanation with its root_service; write the case while its spans are stored",
        )
    spans = pa.concat_tables(tables)
    found.span_count = spans.num_rows
    _write(folder.expanduser().absolute(), spans, found.labels)
    return found


def _case(client: Client, example: Labelled, found: Cases, usual: set[str]) -> pa.Table | None:
    """The rows of one case, with the usual ones that no earlier case has brought; None with a reject."""
    if not example.correction.get("root_service"):
        found.rejects.append(Reject(example.example_id, NO_PLACE))
        return None
    traces = _names(client, "case_traces", {
        "group_id": example.group_id, "kind": example.subject_kind, "id": example.subject_id,
        "explanation_id": example.explanation_id, "limit": MAX_CASE_TRACES,
    })  # fmt: skip
    test = _spans(client, traces, "test", example.explanation_id)
    if not test.num_rows:
        found.rejects.append(Reject(example.example_id, EXPIRED))
        return None
    began = min(test["start_time_unix_nano"].to_pylist())
    before = _names(client, "case_usual_traces", {
        "from": began - USUAL_BEFORE_S * 1_000_000_000, "until": began, "limit": MAX_USUAL_TRACES,
    })  # fmt: skip
    if not before:
        found.rejects.append(Reject(example.example_id, NO_USUAL))
        return None
    fresh = [trace for trace in before if trace not in usual]
    usual.update(fresh)
    found.labels.append(
        {
            "case_id": example.explanation_id,
            "fault_kind": "corrected",
            "root_services": [example.correction["root_service"]],
            "root_operation": example.correction.get("root_operation"),
            "root_span_id": example.correction.get("root_span_id"),
            "inject_time_unix_nano": began,
        }
    )
    return pa.concat_tables([_spans(client, fresh, "baseline", None), test])


def _names(client: Client, query: str, parameters: dict[str, object]) -> list[str]:
    return [str(name) for name in client.sql(load_sql(_QUERIES, query), parameters)["trace_id"].to_list()]


def _spans(client: Client, traces: Sequence[str], split: str, case_id: str | None) -> pa.Table:
    parameters = {"trace_ids": list(traces), "split": split, "case_id": case_id}
    content, _ = client.sql_arrow(load_sql(_QUERIES, "case_spans"), parameters)
    return pa.ipc.open_stream(content).read_all()


def _write(folder: Path, spans: pa.Table, labels: list[dict[str, Any]]) -> None:
    """Writes all of the folder or none of it."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputUnusable(f"{folder} is not an empty folder", hint="name a new one with --out DIR")
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            staging.chmod(0o755)
            pq.write_table(spans, staging / "spans.parquet", compression="zstd")
            (staging / "cases.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
            staging.replace(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise OutputUnusable(
            f"{folder} cannot be written ({error.strerror or error})",
            hint="name another folder with --out DIR",
        ) from error
