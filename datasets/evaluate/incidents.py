"""Labelled incidents: a folder of Parquet files and `cases.json`, read and checked.

`spans.parquet` holds the rows to learn from (`split` = baseline) and to judge (`test`, with their `case_id`);
`cases.json` gives the fault of each case. Optional are `logs.parquet`, `metrics.parquet`,
`trace_labels.parquet` and `case_traces.parquet`, and of the spans the columns kind, status, attributes, day,
pod and run. A `day` changes nothing: a case is compared with the baseline of all days. A `run` names the
recording where a folder holds several systems, which may have run at the same time: detection plays each by
itself, and a case is compared with its own. `labels.jsonl` may list controls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from collector.errors import InvalidInput
from collector.store.sqlfile import load_sql
from datasets.evaluate.controls import Control, read_controls
from datasets.evaluate.groups import Groups
from datasets.evaluate.incident_columns import (
    LABELS,
    LOGS,
    MEMBERS,
    METRICS,
    SPANS,
    check_columns,
    log_views,
    metric_view,
    span_view,
)
from datasets.evaluate.shapes import Shape
from detectors.orders.amount_columns import read_amounts

_QUERIES = "datasets.evaluate.queries"


class Signals(NamedTuple):
    """Columns of `queries/eval_all_logs.sql` and `queries/eval_all_metrics.sql`; None without the file."""

    logs: pa.Table | None = None
    metrics: pa.Table | None = None


NO_SIGNALS = Signals()


class CaseLabel(BaseModel):
    """One entry of `cases.json`: the true place of the fault.

    shape: what is to be said of the whole system, where no service is at fault.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    case_id: str = Field(min_length=1)
    fault_kind: str
    root_services: list[str] = Field(min_length=1)
    root_operation: str | None = None
    root_span_id: str | None = None
    inject_time_unix_nano: int | None = None
    shape: Shape | None = None


class IncidentFolder:
    """An opened folder. Tables have the columns that detection and localisation read live."""

    def __init__(self, path: Path, con: duckdb.DuckDBPyConnection, *, has_logs: bool) -> None:
        self.path = path
        self.has_logs = has_logs
        self.has_trace_labels = (path / "trace_labels.parquet").is_file()
        self._con = con

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[IncidentFolder]:
        """
        Raises:
            InvalidInput: the folder or a file of it is not in the format; says what and where.
        """
        if not path.is_dir():
            raise InvalidInput(
                f"{path} is not a folder", hint="give a folder with spans.parquet and cases.json"
            )
        for name in ("spans.parquet", "cases.json"):
            if not (path / name).is_file():
                raise InvalidInput(f"{path} has no {name}", hint="every folder of labelled incidents has one")
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            for name in ("16_callee", "17_operation"):
                con.execute(load_sql("collector.store.schema", name))
            present = check_columns(con, path / "spans.parquet", SPANS)
            con.execute(span_view(path / "spans.parquet", present))
            has_logs = (path / "logs.parquet").is_file()
            columns = check_columns(con, path / "logs.parquet", LOGS) if has_logs else set()
            con.execute(log_views(path / "logs.parquet" if has_logs else None, columns))
            if (path / "metrics.parquet").is_file():
                columns = check_columns(con, path / "metrics.parquet", METRICS)
                con.execute(metric_view(path / "metrics.parquet", columns))
            _members(con, path / "case_traces.parquet")
            if (path / "trace_labels.parquet").is_file():
                check_columns(con, path / "trace_labels.parquet", LABELS)
            folder = cls(path, con, has_logs=has_logs)
            folder._check_rows()
            yield folder

    def case_ids(self) -> list[str]:
        """The cases that have spans, without a look at `cases.json`."""
        return [str(row[0]) for row in self._con.execute(load_sql(_QUERIES, "eval_case_ids")).fetchall()]

    def baseline_spans(self) -> pa.Table:
        return self._spans("baseline")

    def test_spans(self) -> pa.Table:
        return self._spans("test")

    def seconds_outside_cases(self) -> float:
        """How many seconds of each recording of the test rows hold a span of no case."""
        ((count,),) = self._con.execute(load_sql(_QUERIES, "eval_quiet_seconds")).fetchall()
        return float(count)

    def baseline_logs(self) -> pa.Table:
        return self._read("SELECT * FROM logs WHERE split = 'baseline'")

    def baseline_amounts(self) -> pa.Table:
        return self._amounts(0)

    def test_amounts(self) -> pa.Table:
        return self._amounts(1)

    def all_spans(self) -> pa.Table:
        """Baseline and test with their attributes as JSON text, each recording in order of ends."""
        return self._read(load_sql(_QUERIES, "eval_all_spans"))

    def all_signals(self) -> Signals:
        """Log lines and metric points in order of time; None where the folder has none."""
        has_metrics = (self.path / "metrics.parquet").is_file()
        return Signals(
            self._read(load_sql(_QUERIES, "eval_all_logs")) if self.has_logs else None,
            self._read(load_sql(_QUERIES, "eval_all_metrics")) if has_metrics else None,
        )

    def case_spans(self, case_id: str) -> pa.Table:
        """The spans that name the case, and the traces that belong to it besides."""
        return self._of_case(self._test_spans, case_id)

    def case_logs(self, case_id: str) -> pa.Table:
        """The log lines of a case, as its spans."""
        return self._of_case(self._test_logs, case_id)

    def trace_labels(self) -> dict[str, bool]:
        """Whether each labelled trace among the `test` rows is anomalous."""
        path = str(self.path / "trace_labels.parquet")
        return dict(self._con.execute(load_sql(_QUERIES, "eval_trace_labels"), [path]).fetchall())

    def controls(self) -> list[Control]:
        """Changes that are no faults. Read them after detection."""
        return read_controls(self.path / "labels.jsonl")

    def attributes(self, spans: pa.Table) -> pa.Table:
        """Every attribute of these spans as text, one row each; of `baseline_spans` or `case_spans`."""
        self._con.register("wanted_spans", spans.select(["trace_id", "span_id", "attributes_text"]))
        try:
            return self._read(load_sql(_QUERIES, "eval_attributes"))
        finally:
            self._con.unregister("wanted_spans")

    def labels(self) -> list[CaseLabel]:
        """`cases.json`. Read it after ranking.

        Raises:
            InvalidInput: not a list of cases, or a case that has no spans.
        """
        path = self.path / "cases.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            labels = TypeAdapter(list[CaseLabel]).validate_python(entries)
        except (ValueError, ValidationError) as error:
            raise InvalidInput(f"{path}: {_first_problem(error)}", hint=_CASES_HINT) from error
        seen: set[str] = set()
        known = set(self.case_ids())
        for label in labels:
            if label.case_id in seen:
                raise InvalidInput(f"{path}: case {label.case_id!r} is listed twice", hint=_CASES_HINT)
            if label.case_id not in known:
                raise InvalidInput(
                    f"case {label.case_id!r} of {path} has no spans",
                    hint="give its test rows this case_id, or list its traces in case_traces.parquet",
                )
            seen.add(label.case_id)
        return labels

    def _check_rows(self) -> None:
        splits = dict(self._con.execute("SELECT split, count(*) FROM spans GROUP BY split").fetchall())
        strange = sorted(str(name) for name in splits if name not in ("baseline", "test"))
        where = self.path / "spans.parquet"
        if strange:
            raise InvalidInput(f"{where}: split is {strange[0]!r}", hint="use 'baseline' and 'test'")
        if not splits.get("baseline"):
            raise InvalidInput(f"{where} has no baseline rows", hint="there is nothing to learn from")
        missing = self._con.execute(load_sql(_QUERIES, "eval_missing_values")).fetchall()[0][0]
        if missing:
            raise InvalidInput(
                f"{where}: {missing:,} rows lack an id, a service, a name or a time",
                hint="only parent_span_id and case_id may be empty",
            )

    def _amounts(self, batch_id: int) -> pa.Table:
        return read_amounts(self._read, batch_id - 1, batch_id, prices=())

    def _spans(self, split: str) -> pa.Table:
        return self._read("SELECT * EXCLUDE (attributes) FROM spans WHERE split = $1", [split])

    @cached_property
    def _test_spans(self) -> Groups:
        return Groups(self._spans("test"), "case_id")

    @cached_property
    def _test_logs(self) -> Groups:
        return Groups(self._read("SELECT * FROM logs WHERE split = 'test'"), "case_id")

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        """The traces that `case_traces.parquet` lists for each case."""
        members: dict[str, list[str]] = {}
        for case_id, trace_id in self._con.execute("FROM case_traces").fetchall():
            members.setdefault(case_id, []).append(trace_id)
        return members

    def _of_case(self, by_case: Groups, case_id: str) -> pa.Table:
        rows = by_case.of([case_id])
        if case_id not in self._members:
            return rows
        listed = pa.array(self._members[case_id], pa.string())
        others = pc.and_(
            pc.is_in(by_case.rows["trace_id"], value_set=listed),
            pc.not_equal(pc.fill_null(by_case.rows["case_id"], ""), case_id),
        )
        return pa.concat_tables([rows, by_case.rows.filter(others)])

    def _read(self, sql: str, params: list[Any] | dict[str, Any] | None = None) -> pa.Table:
        return self._con.sql(sql, params=params).to_arrow_table()


_CASES_HINT = (
    "list {case_id, fault_kind, root_services: […], root_operation or null, inject_time_unix_nano} for each"
)


def _members(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    con.execute("CREATE TABLE case_traces (case_id VARCHAR, trace_id VARCHAR)")
    if path.is_file():
        check_columns(con, path, MEMBERS)
        con.execute("INSERT INTO case_traces SELECT case_id, trace_id FROM read_parquet(?)", [str(path)])


def _first_problem(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"not JSON: {error}"
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
