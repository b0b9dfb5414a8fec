"""What window detectors have learned, between memory and the tables `window_rates` and `arrival_rates`."""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.spans.call_structure import CALLS, MISSING, PATH, StructureWatch
from detectors.spans.client_error_rate import RefusalWatch
from detectors.spans.error_rate import ErrorWatch
from detectors.spans.throughput import ThroughputWatch
from detectors.stream.batch import Operations

_QUERIES = "detectors.pipeline.queries"
ERROR_MEASURE = "error"
REFUSED_MEASURE = "refused"
LOG_MEASURE = "log"
RATES = pa.schema(
    [
        *((name, pa.string()) for name in ("measure", "service_name", "operation", "span_kind")),
        *((name, pa.string()) for name in ("callee_service", "callee_operation", "callee_kind")),
        ("trial_count", pa.float64()),
        ("hit_count", pa.float64()),
        ("call_counts", pa.list_(pa.int64())),
    ]
)
_NOBODY = ("", "", "")


class Learning(NamedTuple):
    """What is stored of window detectors."""

    operations: Operations
    errors: ErrorWatch
    refusals: RefusalWatch
    structure: StructureWatch
    throughput: ThroughputWatch


def load_windows(store: Store, learning: Learning) -> None:
    """Give fresh watches what former runs have learned."""
    operations, errors, refusals, structure, throughput = learning
    pairs: dict[tuple[int, int], dict[str, tuple[float, float]]] = {}
    histograms: dict[tuple[int, int], list[int]] = {}
    failed: dict[int, tuple[float, float]] = {}
    for row in store.read(load_sql(_QUERIES, "read_window_rates")).to_pylist():
        caller = operations.code((row["service_name"], row["operation"], row["span_kind"]))
        learned = (row["trial_count"], row["hit_count"])
        if row["measure"] == ERROR_MEASURE:
            failed[caller] = learned
            continue
        if row["measure"] == REFUSED_MEASURE:
            refusals.code(caller, int(row["callee_operation"]), learned)
            continue
        callee = operations.code((row["callee_service"], row["callee_operation"], row["callee_kind"]))
        if min(caller, callee) >= 0:
            pairs.setdefault((caller, callee), {})[row["measure"]] = learned
            if row["call_counts"]:
                histograms[caller, callee] = row["call_counts"]
    codes = range(len(operations.keys))
    errors.rates.grow(
        [operations.service(code) for code in codes], [failed.get(code, (0.0, 0.0)) for code in codes]
    )
    for (caller, callee), past in pairs.items():
        structure.restore(caller, callee, past, histograms.get((caller, callee)))
    for row in store.read(load_sql(_QUERIES, "read_arrival_rates")).to_pylist():
        code = operations.code((row["service_name"], row["operation"], row["span_kind"]))
        if code >= 0:
            throughput.arrivals.grow(len(operations.keys), 0)
            learned_cell = (row["bucket_count"], row["span_count"], row["square_sum"])
            throughput.arrivals.past[code, row["hour_of_week"]] = learned_cell


def save_windows(con: duckdb.DuckDBPyConnection, learning: Learning, now_unix_nano: int) -> int:
    """Write what has changed since the last time; returns how many rows."""
    operations, errors, refusals, structure, throughput = learning
    rows: list[dict[str, object]] = []
    rates = errors.rates
    for code in np.flatnonzero(rates.changed[: rates.count]).tolist():
        past = (float(rates.past_trials[code]), float(rates.past_hits[code]))
        rows.append(rate_row(ERROR_MEASURE, operations.keys[code], _NOBODY, past, None))
    rates = refusals.rates
    for series in np.flatnonzero(rates.changed[: rates.count]).tolist():
        operation, status = refusals.series[series]
        past = (float(rates.past_trials[series]), float(rates.past_hits[series]))
        rows.append(rate_row(REFUSED_MEASURE, operations.keys[operation], ("", str(status), ""), past, None))
    for measure in (PATH, CALLS, MISSING):
        rates = structure.rates[measure]
        for pair in np.flatnonzero(rates.changed[: rates.count]).tolist():
            caller, callee = (operations.keys[code] for code in structure.pairs[pair])
            past = (float(rates.past_trials[pair]), float(rates.past_hits[pair]))
            histogram = structure.call_counts(pair) if measure == CALLS else None
            rows.append(rate_row(measure, caller, callee, past, histogram))
    if rows:
        con.register("changed_rates", pa.Table.from_pylist(rows, schema=RATES))
        con.execute(load_sql(_QUERIES, "save_window_rates"), {"now": now_unix_nano})
        con.unregister("changed_rates")
    return len(rows) + _save_arrivals(con, operations, throughput, now_unix_nano)


def saved(learning: Learning) -> None:
    """What was written has been committed."""
    for rates in (learning.errors.rates, learning.refusals.rates, *learning.structure.rates.values()):
        rates.changed[:] = False
    learning.throughput.arrivals.changed[:] = False


def _save_arrivals(
    con: duckdb.DuckDBPyConnection, operations: Operations, throughput: ThroughputWatch, now_unix_nano: int
) -> int:
    arrivals = throughput.arrivals
    codes = np.flatnonzero(arrivals.changed[: arrivals.count])
    hours = arrivals.past[codes]
    which, hour = np.nonzero(hours[:, :, 0])
    if not len(which):
        return 0
    keys = [operations.keys[code] for code in codes[which].tolist()]
    cells = hours[which, hour].astype(np.float64)
    columns = {
        "service_name": [key[0] for key in keys],
        "operation": [key[1] for key in keys],
        "span_kind": [key[2] for key in keys],
        "hour_of_week": hour.astype(np.int16),
        "bucket_count": cells[:, 0],
        "span_count": cells[:, 1],
        "square_sum": cells[:, 2],
    }
    con.register("changed_arrivals", pa.table(columns))
    con.execute(load_sql(_QUERIES, "save_arrival_rates"), {"now": now_unix_nano})
    con.unregister("changed_arrivals")
    return len(which)


def rate_row(
    measure: str,
    caller: tuple[str, str, str],
    callee: tuple[str, str, str],
    past: tuple[float, float],
    histogram: list[int] | None = None,
) -> dict[str, object]:
    return {
        "measure": measure,
        "service_name": caller[0],
        "operation": caller[1],
        "span_kind": caller[2],
        "callee_service": callee[0],
        "callee_operation": callee[1],
        "callee_kind": callee[2],
        "trial_count": past[0],
        "hit_count": past[1],
        "call_counts": histogram,
    }
