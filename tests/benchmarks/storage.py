"""What spans cost on disk, in queries and at the start of a server, in the database and sealed to Parquet.

    uv run python tests/benchmarks/storage.py --spans 1000000 10000000 30000000 [--json]

`fleet.sql` makes the spans in DuckDB itself, in the columns and the order in which landing writes them, a
batch of 100,000 a transaction: 10 spans a trace, 50 services, 500 operations, about 9 attributes, 500,000
spans an hour, and no value that repeats because the generator does. 10 M spans take some 4 minutes to make
and 2 GB while they are measured. "start" is from the process's start until /readyz says 200.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

SPANS_PER_TRACE = 10
NS_PER_TRACE = 72_000_000  # as fleet.sql spaces them
FIRST_START = "1_790_000_000_000_000_000"
TRACES_PER_BATCH = 10_000
REPEATS = 7
START_REPEATS = 3
START_TIMEOUT_S = 60.0
MACROS = """
CREATE OR REPLACE TEMP MACRO u(n, k) AS hash(n, k)::DOUBLE / 18446744073709551616.0;
CREATE OR REPLACE TEMP MACRO normal(n, k) AS sqrt(-2 * ln(u(n, k) + 1e-12)) * cos(2 * pi() * u(n, -k));
CREATE OR REPLACE TEMP MACRO noun_of_service(s) AS ['order', 'cart', 'user', 'quote', 'item'][1 + s % 5];
"""
QUERIES = {
    "trace_by_id_ms": "SELECT * EXCLUDE (attributes, events, links, resource_attributes, scope_attributes)"
    " FROM spans WHERE trace_id = '{trace_id}'",
    "red_of_one_hour_ms": "SELECT service_name, count(*), count(*) FILTER (status_code = 'ERROR'),"
    " quantile_cont(duration_ns, 0.95) FROM spans"
    " WHERE start_time >= TIMESTAMP_NS '{hour}' AND start_time < TIMESTAMP_NS '{hour}' + INTERVAL 1 HOUR"
    " GROUP BY service_name",
    "attribute_equals_ms": "SELECT count(*) FROM spans WHERE attributes['user.id']::VARCHAR = 'user-77'",
}


def fill(store: Any, span_count: int, start_unix_nano: int | None = None) -> None:
    """Insert up to `span_count` spans, after those that are there; the first begins when the file says."""
    text = (Path(__file__).parent / "fleet.sql").read_text(encoding="utf-8")
    if start_unix_nano is not None:
        assert FIRST_START in text
        text = text.replace(FIRST_START, str(start_unix_nano))
    (row,) = store.read("SELECT batch_id FROM landing_position").to_pylist()
    cursor = store.cursor()
    cursor.execute(MACROS)
    for number in range(row["batch_id"], span_count // SPANS_PER_TRACE // TRACES_PER_BATCH):
        first = number * TRACES_PER_BATCH
        cursor.execute("BEGIN TRANSACTION")
        cursor.execute(
            text, {"first": first, "last": first + TRACES_PER_BATCH, "batch_id": number + 1}
        ).fetchall()
        cursor.execute("UPDATE landing_position SET batch_id = ?, traces_batch_id = ?", [number + 1] * 2)
        cursor.execute("COMMIT")
    # A server that landed these has judged and learned them: a start must not compete with ten million spans
    # of backlog.
    cursor.execute(
        "INSERT OR REPLACE INTO detector_positions SELECT unnest(['detect', 'learn']), traces_batch_id,"
        " now()::TIMESTAMP::TIMESTAMP_NS FROM landing_position"
    )
    cursor.close()


def best_ms(work: Callable[[], object]) -> float:
    """The least of several: the machine is shared."""
    times = []
    for _ in range(REPEATS):
        started_s = perf_counter()
        work()
        times.append((perf_counter() - started_s) * 1000)
    return round(min(times), 1)


def query_times(store: Any, values: dict[str, str]) -> dict[str, float]:
    found = {}
    for name, text in QUERIES.items():
        query = text.format(**values)
        assert store.read(query).num_rows > 0, name
        found[name] = best_ms(lambda query=query: store.read(query))  # type: ignore[misc]  # bound now
    return found


def start_s(folder: Path) -> float:
    """Seconds from a server's start to its readiness, the least of some."""
    import httpx2

    times = []
    for _ in range(START_REPEATS):
        with tempfile.TemporaryFile("w+") as output:
            started_s = perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "spyhop", "serve", "--data", str(folder)]
                + [f"--{name}=127.0.0.1:0" for name in ("otlp-grpc", "otlp-http", "api")],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SPYHOP_SEAL_AFTER_MIN": "0"},
                cwd=Path(__file__).parent.parent.parent,
            )
            try:
                while True:
                    sleep(0.005)
                    api = read_api(folder)
                    try:
                        if api and httpx2.get(f"{api}/readyz", trust_env=False).status_code == 200:
                            break
                    except httpx2.HTTPError:
                        pass
                    if process.poll() is not None or perf_counter() - started_s > START_TIMEOUT_S:
                        output.seek(0)
                        sys.exit(f"the server did not become ready:\n{output.read()}")
                times.append(perf_counter() - started_s)
            finally:
                process.terminate()
                process.wait(20)
    return round(min(times), 2)


def max_rss_mb() -> int:
    """The most resident memory that this process has had; sealing takes more than filling and queries."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def read_api(folder: Path) -> str:
    from collector.store.lock import read_owner

    return str(read_owner(folder).get("api", ""))


def measure(span_count: int, folder: Path) -> dict[str, Any]:
    from collector.lake.sealer import Policy, Sealer
    from collector.settings import Settings
    from collector.store.database_files import DATABASE_FILE_NAME
    from collector.store.store import Store

    memory_limit = Settings().duckdb_memory_limit  # SPYHOP_DUCKDB_MEMORY_LIMIT
    store = Store.open(folder, memory_limit=memory_limit)
    started_s = perf_counter()
    fill(store, span_count)
    filled_s = perf_counter() - started_s
    store.close()
    database_bytes = (folder / DATABASE_FILE_NAME).stat().st_size
    database_start_s = start_s(folder)

    store = Store.open(folder, memory_limit=memory_limit)
    (row,) = store.read(
        "SELECT count(*) AS n, any_value(trace_id) AS trace_id,"
        " date_trunc('hour', quantile_disc(start_time, 0.5))::VARCHAR AS hour FROM spans"
    ).to_pylist()
    count = row["n"]
    in_database = query_times(store, row)
    sealer = Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60))
    started_s = perf_counter()
    moved = sealer.run_once()
    sealed_s = perf_counter() - started_s
    sealing_max_rss_mb = max_rss_mb()
    assert moved == count == store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py()
    lake = sealer.status()
    in_lake = query_times(store, row)
    store.close()
    return {
        "spans": count,
        "made_per_s": round(count / filled_s),
        "sealing_max_rss_mb": sealing_max_rss_mb,
        "database": {
            "bytes_per_span": round(database_bytes / count, 1),
            **in_database,
            "start_s": database_start_s,
        },
        "sealed_per_s": round(moved / sealed_s),
        "lake": {
            "files": lake["files"],
            "bytes_per_span": round(int(str(lake["bytes"])) / count, 1),
            **in_lake,
            "start_s": start_s(folder),
        },
        "load_1m": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, nargs="+", default=[1_000_000], help="one run for each number")
    parser.add_argument("--data", type=Path, help="an existing folder to fill up, keep and measure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = []
    for span_count in options.spans:
        if span_count % (SPANS_PER_TRACE * TRACES_PER_BATCH):
            parser.error("spans are made by 100,000")
        if options.data:
            results.append(measure(span_count, options.data))
        else:
            with tempfile.TemporaryDirectory(prefix="spyhop-storage-") as name:
                results.append(measure(span_count, Path(name)))
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()
        return
    for name in ("spans", "made_per_s", "sealed_per_s", "sealing_max_rss_mb", "load_1m"):
        print(f"{name:28}", *(f"{result[name]:>12,}" for result in results))
    for place in ("database", "lake"):
        for name in results[0][place]:
            print(f"{place:9}{name:19}", *(f"{result[place][name]:>12,}" for result in results))


if __name__ == "__main__":
    main()
