"""What spans cost on disk and in queries, in the database and sealed to Parquet.

    uv run python tests/benchmarks/storage.py --spans 1000000 [--json]

The spans are those of `ingest.py`: 10 a trace, 50 services, 500 operations, 9 attributes; an hour holds
500,000 of them. They are decoded and inserted as landing does, without receivers and spool.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from ingest import SPANS_PER_REQUEST, Renewed, make_bodies

SPANS_PER_HOUR = 500_000
TEMPLATE_SPANS = 400 * SPANS_PER_REQUEST
BATCH_REQUESTS = 200  # 102,400 spans a transaction, as landing does under load
REPEATS = 5
QUERIES = {
    "trace_by_id_ms": "SELECT * EXCLUDE (attributes, events, links, resource_attributes, scope_attributes)"
    " FROM spans WHERE trace_id = '{trace_id}'",
    "red_of_one_hour_ms": "SELECT service_name, count(*), count(*) FILTER (status_code = 'ERROR'),"
    " quantile_cont(duration_ns, 0.95) FROM spans"
    " WHERE start_time >= TIMESTAMP_NS '{hour}' AND start_time < TIMESTAMP_NS '{hour}' + INTERVAL 1 HOUR"
    " GROUP BY service_name",
    "attribute_equals_ms": "SELECT count(*) FROM spans WHERE attributes['user.id']::VARCHAR = 'user-77'",
}


def fill(store: Any, span_count: int) -> None:
    import pyarrow as pa

    from collector.decode.traces import decode_traces

    bodies = Renewed(make_bodies(TEMPLATE_SPANS))
    landed, batch_id = 0, 0
    while landed < span_count:
        batch_id += 1
        with store.transaction() as con:
            taken = [bodies.take() for _ in range(BATCH_REQUESTS)]
            rows = pa.concat_tables([decode_traces(taken[i : i + 6]) for i in range(0, len(taken), 6)])
            con.register("decoded", rows)
            con.execute(
                "INSERT INTO spans_recent BY NAME SELECT ?::BIGINT AS batch_id, *"
                " REPLACE (start_time + to_hours(?) AS start_time) FROM decoded",
                [batch_id, landed // SPANS_PER_HOUR],
            )
            con.execute("UPDATE landing_position SET batch_id = ?", [batch_id])
        landed += rows.num_rows


def median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started_s = perf_counter()
        work()
        times.append((perf_counter() - started_s) * 1000)
    return round(statistics.median(times), 1)


def query_times(store: Any, values: dict[str, str]) -> dict[str, float]:
    found = {}
    for name, text in QUERIES.items():
        query = text.format(**values)
        assert store.read(query).num_rows > 0, name
        found[name] = median_ms(lambda query=query: store.read(query))  # type: ignore[misc]  # bound now
    return found


def measure(span_count: int) -> dict[str, Any]:
    from collector.seal import Policy, Sealer
    from collector.store.store import Store

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store.open(folder)
        started_s = perf_counter()
        fill(store, span_count)
        filled_s = perf_counter() - started_s
        store.close()
        started_s = perf_counter()
        store = Store.open(folder)
        open_s = perf_counter() - started_s
        (row,) = store.read(
            "SELECT count(*) AS n, any_value(trace_id) AS trace_id,"
            " date_trunc('hour', max(start_time))::VARCHAR AS hour FROM spans"
        ).to_pylist()
        count = row["n"]
        in_database = query_times(store, row)
        database_bytes = (folder / "spyhop.duckdb").stat().st_size
        sealer = Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60))
        started_s = perf_counter()
        moved = sealer.run_once()
        sealed_s = perf_counter() - started_s
        assert moved == count == store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py()
        lake = sealer.status()
        in_lake = query_times(store, row)
        store.close()
    return {
        "spans": count,
        "inserted_per_s": round(count / filled_s),
        "open_s": round(open_s, 2),
        "database_bytes_per_span": round(database_bytes / count, 1),
        "database": in_database,
        "sealed_per_s": round(moved / sealed_s),
        "lake_files": lake["files"],
        "lake_bytes_per_span": round(int(str(lake["bytes"])) / count, 1),
        "lake": in_lake,
        "load_1m": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = measure(options.spans)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
