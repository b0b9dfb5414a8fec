"""What detectors of logs, metrics, the market and orders have learned, between memory and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.logs.template_rate import LogWatch
from detectors.metrics.metric import MetricWatch
from detectors.orders.limit_price import PriceWatch
from detectors.orders.market import MarketWatch
from detectors.orders.wash_trade import Past, WashWatch
from detectors.pipeline.growth_store import load_growths, save_growths
from detectors.pipeline.window_store import LOG_MEASURE, RATES, rate_row
from detectors.stats.sketch import Sketch

_QUERIES = "detectors.pipeline.queries"
_SEPARATOR = "\x1f"
_LEVELS = pa.schema(
    [
        ("kind", pa.string()),
        ("series", pa.string()),
        ("points", pa.list_(pa.float64())),
        ("quiet_count", pa.int64()),
        ("newest_unix_nano", pa.int64()),
    ]
)


class Memory(NamedTuple):
    """What is stored of these detectors."""

    logs: LogWatch
    metrics: MetricWatch
    market: MarketWatch
    prices: PriceWatch
    wash: WashWatch


def load_memory(store: Store, memory: Memory) -> None:
    """Give fresh watches what former runs have learned."""
    for row in store.read("SELECT * FROM window_rates WHERE measure = 'log'").to_pylist():
        past = (row["trial_count"], row["hit_count"])
        memory.logs.restore(row["service_name"], row["operation"], row["callee_operation"], past)
    for row in store.read("SELECT * FROM level_points").to_pylist():
        watch = memory.metrics if row["kind"] == memory.metrics.name else memory.market
        points = np.array(row["points"], dtype=np.float64)
        watch.restore(row["series"], points, row["quiet_count"], row["newest_unix_nano"])
    load_growths(store, memory.metrics)
    for row in store.read("SELECT * FROM price_distances").to_pylist():
        cell = (*(row[name] for name in ("service_name", "operation", "span_kind", "order_pair")),)
        memory.prices.restore((*cell, row["direction"]), Sketch.from_counts(row["buckets"], row["counts"]))
    for row in store.read("SELECT * FROM crossing_rates").to_pylist():
        past_crossings = Past(row["order_count"], row["crossing_count"], row["learning"])
        memory.wash.restore(tuple(row["party"].split(_SEPARATOR)), past_crossings)


def save_memory(con: duckdb.DuckDBPyConnection, memory: Memory, now_unix_nano: int) -> int:
    """Write what has changed since the last time; returns how many rows."""
    levels = [
        dict(zip(_LEVELS.names, (watch.name, *row), strict=True))
        for watch in (memory.metrics, memory.market)
        for row in watch.learned_levels()
    ]
    count = _write(
        con, "changed_levels", pa.Table.from_pylist(levels, schema=_LEVELS), "save_levels", now_unix_nano
    )
    count += save_growths(con, memory.metrics, now_unix_nano)
    learned = memory.prices.learn()
    distances = [
        {
            **dict(
                zip(("service_name", "operation", "span_kind", "order_pair", "direction"), cell, strict=True)
            ),
            "buckets": learned[cell].buckets.tolist(),
            "counts": learned[cell].counts.tolist(),
        }
        for cell in sorted(memory.prices.changed)
    ]
    count += _write(con, "changed_distances", distances, "save_price_distances", now_unix_nano)
    crossings = [
        {
            "party": _SEPARATOR.join(party),
            "order_count": past.orders,
            "crossing_count": past.crossings,
            "learning": past.learning,
        }
        for party, past in memory.wash.learned()
    ]
    count += _write(con, "changed_crossings", crossings, "save_crossing_rates", now_unix_nano)
    lines = [
        rate_row(LOG_MEASURE, (service, level, ""), ("", words, ""), past)
        for service, level, words, past in memory.logs.learned()
    ]
    if lines:
        con.register("changed_rates", pa.Table.from_pylist(lines, schema=RATES))
        con.execute(load_sql(_QUERIES, "forget_log_rates"))
        con.execute(load_sql(_QUERIES, "save_window_rates"), {"now": now_unix_nano})
        con.unregister("changed_rates")
    return count + len(lines)


def memory_saved(memory: Memory) -> None:
    """What was written has been committed."""
    memory.prices.changed.clear()
    memory.wash.changed.clear()
    memory.metrics.levels_saved()
    memory.market.levels_saved()


def _write(
    con: duckdb.DuckDBPyConnection,
    name: str,
    rows: pa.Table | Sequence[dict[str, Any]],
    query: str,
    now_unix_nano: int,
) -> int:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
    if table.num_rows:
        con.register(name, table)
        con.execute(load_sql(_QUERIES, query), {"now": now_unix_nano})
        con.unregister(name)
    return int(table.num_rows)
