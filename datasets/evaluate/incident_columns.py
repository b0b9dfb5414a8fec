"""The columns of a folder of labelled incidents: the required ones, their types, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb

from collector.errors import InvalidInput

_TEXT = frozenset({"VARCHAR", "JSON"})
_WHOLE = frozenset({"BIGINT", "UBIGINT", "HUGEINT", "INTEGER", "UINTEGER"})
_FLAG = frozenset({"BOOLEAN"})
_ANY: frozenset[str] = frozenset()
_TYPE_NAMES = {_TEXT: "text", _WHOLE: "a whole number", _FLAG: "true or false"}


class Columns(NamedTuple):
    """Column → types it may have (empty: any)."""

    required: Mapping[str, frozenset[str]]
    optional: Mapping[str, frozenset[str]]


SPANS = Columns(
    required={
        **dict.fromkeys(("trace_id", "span_id", "parent_span_id", "service_name", "span_name"), _TEXT),
        **dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), _WHOLE),
        "split": _TEXT,
        "case_id": _TEXT,
    },
    optional={
        **dict.fromkeys(("span_kind", "status_message", "attributes", "run"), _TEXT),
        "status_code": _ANY,
    },
)
LOGS = Columns(
    required={
        "time_unix_nano": _WHOLE,
        **dict.fromkeys(("service_name", "trace_id", "span_id", "body", "split", "case_id"), _TEXT),
    },
    optional={"severity_number": _WHOLE, "severity_text": _TEXT},
)
METRICS = Columns(
    required={"time_unix_nano": _WHOLE, **dict.fromkeys(("service_name", "metric_name"), _TEXT)},
    optional={
        **dict.fromkeys(("metric_unit", "metric_kind", "temporality", "attributes", "run"), _TEXT),
        **dict.fromkeys(("start_time_unix_nano", "value_int"), _WHOLE),
        **dict.fromkeys(("value_double", "count", "sum"), _ANY),
        "is_monotonic": _FLAG,
    },
)
_METRIC_DEFAULTS = {
    **dict.fromkeys(("metric_unit", "run"), "''"),
    **dict.fromkeys(("temporality", "attributes"), "NULL::VARCHAR"),
    **dict.fromkeys(("start_time_unix_nano", "value_int", "count"), "NULL::BIGINT"),
    **dict.fromkeys(("value_double", "sum"), "NULL::DOUBLE"),
    "metric_kind": "'gauge'",
    "is_monotonic": "NULL::BOOLEAN",
}
# OpenTelemetry's severity numbers of the words that loggers use.
_SEVERITY_OF_TEXT = (
    "CASE left(upper(severity_text), 4) WHEN 'TRAC' THEN 1 WHEN 'DEBU' THEN 5 WHEN 'INFO' THEN 9"
    " WHEN 'WARN' THEN 13 WHEN 'ERRO' THEN 17 WHEN 'FATA' THEN 21 WHEN 'CRIT' THEN 21 ELSE 0 END"
)
LABELS = Columns(required={"trace_id": _TEXT, "anomalous": _FLAG}, optional={})
MEMBERS = Columns(required={"case_id": _TEXT, "trace_id": _TEXT}, optional={})


def check_columns(con: duckdb.DuckDBPyConnection, path: Path, columns: Columns) -> set[str]:
    """The columns that the file has.

    Raises:
        InvalidInput: unreadable, a column is missing or has another type.
    """
    try:
        described = con.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    except duckdb.Error as error:
        reason = str(error).split("\n", 1)[0]
        raise InvalidInput(f"{path} cannot be read as Parquet: {reason}", hint="write it again") from error
    types = {str(row[0]): str(row[1]) for row in described}
    missing = sorted(columns.required.keys() - types.keys())
    if missing:
        raise InvalidInput(
            f"{path} has no column {', '.join(missing)}", hint=f"it has {', '.join(types) or 'none'}"
        )
    for name, allowed in {**columns.required, **columns.optional}.items():
        # A column of NULLs alone is written as INTEGER by some tools.
        if name in types and allowed and types[name] not in allowed and not _all_null(con, path, name):
            raise InvalidInput(
                f"{path}: column {name} is {types[name]}", hint=f"it must be {_TYPE_NAMES[allowed]}"
            )
    return set(types)


def span_view(path: Path, present: set[str]) -> str:
    """`CREATE VIEW spans` over the file, with the names that detection reads live.

    `batch_id` is 0 for the baseline and 1 for what is judged; `attributes_text` is what the file says.
    """
    kind = "upper(replace(span_kind, 'SPAN_KIND_', ''))" if "span_kind" in present else "NULL"
    status = "upper(status_code::VARCHAR)" if "status_code" in present else "''"
    message = "coalesce(status_message, '')" if "status_message" in present else "''"
    run = "coalesce(run::VARCHAR, '')" if "run" in present else "''"
    text = "attributes::VARCHAR" if "attributes" in present else "NULL::VARCHAR"
    # A folder has no events: what an exception recorded stands among the attributes.
    untold = f"{status} NOT IN ('OK', 'STATUS_CODE_OK', '1')"
    raised = f"({untold} AND TRY_CAST({text} AS JSON)->>'$.\"exception.type\"' IS NOT NULL) IS TRUE"
    return f"""
    CREATE VIEW spans AS
    SELECT
        trace_id, span_id, nullif(parent_span_id::VARCHAR, '') AS parent_span_id, service_name,
        operation_of(span_name) AS operation, span_name, coalesce({kind}, 'UNSPECIFIED') AS span_kind,
        start_time_unix_nano::BIGINT AS start_unix_nano,
        make_timestamp_ns(start_time_unix_nano::BIGINT) AS start_time,
        (end_time_unix_nano - start_time_unix_nano)::BIGINT AS duration_ns,
        if({status} IN ('ERROR', 'STATUS_CODE_ERROR', '2'), 'ERROR', 'UNSET') AS status_code,
        {status} IN ('ERROR', 'STATUS_CODE_ERROR', '2') IS TRUE OR {raised} AS failed, {raised} AS raised,
        {message} AS status_message, {text} AS attributes_text,
        TRY_CAST({text} AS JSON)::VARIANT AS attributes,
        callee_of(coalesce({kind}, 'UNSPECIFIED'), TRY_CAST({text} AS JSON)::VARIANT) AS callee,
        split, nullif(case_id::VARCHAR, '') AS case_id, {run} AS run, (split = 'test')::BIGINT AS batch_id,
        service_name || chr(31) || operation_of(span_name) || chr(31) || coalesce({kind}, 'UNSPECIFIED')
            AS operation_key,
        true AS is_new, false AS flagged, false AS in_incident
    FROM read_parquet({_literal(path)})
    """  # noqa: S608  # expressions of this module and an escaped path


def log_views(path: Path | None, present: set[str]) -> str:
    """`CREATE VIEW logs` over the file; an empty one without. Ids of zeros are none."""
    severity = _SEVERITY_OF_TEXT if "severity_text" in present else "0"
    severity = "severity_number::INTEGER" if "severity_number" in present else severity
    columns = (
        "time_unix_nano::BIGINT AS unix_nano,"
        " nullif(ltrim(trace_id::VARCHAR, '0'), '') IS NOT NULL AS in_trace,"
        " trace_id::VARCHAR AS trace_id, span_id::VARCHAR AS span_id, service_name,"
        f" {severity} AS severity_number, body::VARCHAR AS body, split,"
        " nullif(case_id::VARCHAR, '') AS case_id"
    )
    if path is not None:
        return f"CREATE VIEW logs AS SELECT {columns} FROM read_parquet({_literal(path)})"  # noqa: S608  # as above
    names = ("trace_id", "span_id", "service_name", "body", "split", "case_id")
    texts = ", ".join(f"{name} VARCHAR" for name in names)
    return f"CREATE TABLE logs (unix_nano BIGINT, in_trace BOOLEAN, severity_number INTEGER, {texts})"


def metric_view(path: Path, present: set[str]) -> str:
    """`CREATE VIEW metrics` over the file."""
    texts = {name: name if name in present else default for name, default in _METRIC_DEFAULTS.items()}
    return f"""
    CREATE VIEW metrics AS
    SELECT
        time_unix_nano::BIGINT AS unix_nano, service_name, metric_name,
        coalesce({texts["metric_unit"]}, '') AS metric_unit,
        lower(coalesce({texts["metric_kind"]}, 'gauge')) AS metric_kind,
        upper({texts["temporality"]}) AS temporality, {texts["is_monotonic"]} AS is_monotonic,
        {texts["attributes"]}::VARCHAR AS attributes, coalesce({texts["run"]}::VARCHAR, '') AS run,
        {texts["start_time_unix_nano"]}::BIGINT AS start_unix_nano, {texts["value_int"]}::BIGINT AS value_int,
        {texts["value_double"]}::DOUBLE AS value_double, {texts["count"]}::UBIGINT AS sample_count,
        {texts["sum"]}::DOUBLE AS sample_sum
    FROM read_parquet({_literal(path)})
    """  # noqa: S608  # as above


def _all_null(con: duckdb.DuckDBPyConnection, path: Path, name: str) -> bool:
    count = f'SELECT count("{name}") FROM read_parquet(?)'  # noqa: S608  # a name of this module
    return bool(con.execute(count, [str(path)]).fetchall() == [(0,)])


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
