"""Baselines in the store: rows that add up, and the fitted figures for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines, Model
from detectors.baseline.sketch_index import AMOUNT, DELTA_SCHEMA, DURATION, SeriesKey, SketchBook

_QUERIES = "detectors.baseline.queries"
_SIGMA3 = 3.0


def load_book(store: Store) -> SketchBook:
    """All sketches that were ever learned."""
    book = SketchBook()
    book.add(store.read(load_sql(_QUERIES, "read_sketches")).cast(DELTA_SCHEMA))
    return book


def read_position(store: Store, reader: str) -> int:
    """The newest batch that `reader` has finished; 0 before the first."""
    rows = store.read("SELECT batch_id FROM detector_positions WHERE reader = ?", [reader])
    return int(rows["batch_id"][0].as_py()) if rows.num_rows else 0


def save_position(con: duckdb.DuckDBPyConnection, reader: str, batch_id: int, now_unix_nano: int) -> None:
    save_positions(con, {reader: batch_id}, now_unix_nano)


def save_positions(con: duckdb.DuckDBPyConnection, batch_ids: Mapping[str, int], now_unix_nano: int) -> None:
    """Save the newest finished batch of each reader."""
    params = {"readers": list(batch_ids), "batch_ids": list(batch_ids.values()), "now": now_unix_nano}
    ((count,),) = con.execute(load_sql(_QUERIES, "save_positions"), params).fetchall()
    if count < len(batch_ids):
        con.execute(load_sql(_QUERIES, "first_positions"), params)


def append_sketches(con: duckdb.DuckDBPyConnection, deltas: pa.Table) -> None:
    con.register("learned_rows", deltas)
    con.execute(load_sql(_QUERIES, "append_sketches"))
    con.unregister("learned_rows")


def compact_sketches(con: duckdb.DuckDBPyConnection) -> None:
    for statement in con.extract_statements(load_sql(_QUERIES, "compact_sketches")):
        con.execute(statement)


def save_fitted(
    con: duckdb.DuckDBPyConnection, baselines: Baselines, keys: set[SeriesKey] | None, now_unix_nano: int
) -> int:
    """Replace the rows of `baselines` and `amount_baselines` for these series (None: all); how many."""
    times: list[dict[str, object]] = []
    amounts: list[dict[str, object]] = []
    for model, flagged_count, ready in baselines.fitted(keys):
        if model.key.measure == AMOUNT:
            amounts.append(_amount_row(model, ready, now_unix_nano))
        else:
            own = baselines.self_time_p50_ns(model.key.service_name, model.key.operation, model.key.span_kind)
            times.append(_duration_row(model, flagged_count, ready, own, now_unix_nano))
    _replace(con, "baselines", times, keys, DURATION)
    _replace(con, "amount_baselines", amounts, keys, AMOUNT)
    return len(times) + len(amounts)


def _replace(
    con: duckdb.DuckDBPyConnection,
    table: str,
    rows: list[dict[str, object]],
    keys: Iterable[SeriesKey] | None,
    measure: str,
) -> None:
    if keys is None:
        con.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of this module
    else:
        gone = {key[1:4] for key in keys if key.measure == measure}
        if not gone:
            return
        columns = zip(*sorted(gone), strict=True)
        names = ("service_name", "operation", "span_kind")
        con.register("replaced_series", pa.table(dict(zip(names, map(list, columns), strict=True))))
        con.execute(
            f"DELETE FROM {table} USING replaced_series r WHERE {table}.service_name = r.service_name "  # noqa: S608  # a name of this module
            f"AND {table}.operation = r.operation AND {table}.span_kind = r.span_kind"
        )
        con.unregister("replaced_series")
    if rows:
        con.register("fitted_rows", pa.Table.from_pylist(rows))
        con.execute(
            f"INSERT INTO {table} BY NAME "  # noqa: S608  # a name of this module
            "SELECT * REPLACE (make_timestamp_ns(updated_at) AS updated_at) FROM fitted_rows"
        )
        con.unregister("fitted_rows")


def _duration_row(
    model: Model, flagged_count: int, ready: bool, self_time_p50_ns: float | None, now_unix_nano: int
) -> dict[str, object]:
    tail = model.tail
    return {
        "service_name": model.key.service_name,
        "operation": model.key.operation,
        "span_kind": model.key.span_kind,
        "cell": model.cell,
        "sample_count": tail.sample_count,
        "flagged_count": flagged_count,
        "p50_ns": tail.p50,
        "p90_ns": tail.quantile(0.9),
        "p99_ns": tail.quantile(0.99),
        "p999_ns": tail.quantile(0.999),
        "sigma3_ns": tail.value_at(_SIGMA3),
        "self_time_p50_ns": self_time_p50_ns,
        "tail_threshold_ns": tail.threshold,
        "tail_share": tail.threshold_share,
        "tail_shape": tail.shape,
        "tail_scale": tail.scale,
        "state": "ready" if ready else "learning",
        "updated_at": now_unix_nano,
    }


def _amount_row(model: Model, ready: bool, now_unix_nano: int) -> dict[str, object]:
    return {
        "service_name": model.key.service_name,
        "operation": model.key.operation,
        "span_kind": model.key.span_kind,
        "cell": model.key.facet,
        "sample_count": model.tail.sample_count,
        "p50": model.tail.p50,
        "p99": model.tail.quantile(0.99),
        "sigma3": model.tail.value_at(_SIGMA3),
        "state": "ready" if ready else "learning",
        "updated_at": now_unix_nano,
    }
