"""What spans or logs cost in the table, in hot files, and in hot files that are joined to one; CPU time.

    uv run python tests/benchmarks/hot_files.py --requests 800 [--logs]

Each way lands the same requests of 512 spans (9 attributes, about 320 bytes) or log records (6 attributes,
270), 4 MiB in a transaction, with their decoding in the same process, and then answers the same queries; the
least of several runs is printed. In the end both are sealed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from otlp_load import Renewed, make_bodies, make_log_bodies

from collector.lake import joining
from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store.store import Store
from collector.wal.spool import Spool

REPEATS = 7
QUERIES = {
    Signal.TRACES: {
        "trace by id": "SELECT * FROM spans WHERE trace_id = '{trace_id}'",
        "RED over all": "SELECT service_name, span_name, count(*), avg(duration_ns) FROM spans GROUP BY ALL",
        "attribute = value": (
            "SELECT count(*) FROM spans WHERE attributes['http.route']::VARCHAR = '/resource/7'"
        ),
        "newest 100": "SELECT * FROM spans ORDER BY start_time DESC LIMIT 100",
    },
    Signal.LOGS: {
        "trace by id": "SELECT * FROM logs WHERE trace_id = '{trace_id}'",
        "by service and severity": "SELECT service_name, severity_number, count(*) FROM logs GROUP BY ALL",
        "attribute = value": "SELECT count(*) FROM logs WHERE attributes['user.id']::VARCHAR = 'user-7'",
        "text in the body": "SELECT count(*) FROM logs WHERE body::VARCHAR LIKE '%for user-77'",
        "newest 100": 'SELECT * FROM logs ORDER BY "time" DESC LIMIT 100',
    },
}
VIEWS = {Signal.TRACES: "spans", Signal.LOGS: "logs"}


def land(folder: Path, requests: int, signal: Signal, *, hot: bool) -> tuple[Store, float]:
    """A store with all rows, and the CPU of one in microseconds."""
    store = Store.open(folder)
    spool = Spool(
        folder / "spool",
        landed=read_position(store)[0],
        max_bytes=1 << 32,
        segment_bytes=1 << 25,
        torn_folder=folder / "torn",
    )
    if signal is Signal.TRACES:
        renewed = Renewed(make_bodies(102_400))
        bodies = [renewed.take() for _ in range(requests)]
    else:
        bodies = make_log_bodies(requests * 512)
    for appended in [spool.append(signal, body) for body in bodies]:
        appended.result(60)
    lander = Lander(store, spool, interval_ms=200, max_bytes=1 << 27)
    lander.land_available(shred=hot)  # imports and first calls
    before = row_count(lander)
    took_s = cpu_s(lambda: land_all(lander, hot=hot))
    spool.close()
    return store, took_s / (row_count(lander) - before) * 1e6


def row_count(lander: Lander) -> int:
    return lander.totals.spans + lander.totals.logs


def land_all(lander: Lander, *, hot: bool) -> None:
    while lander.land_available(shred=hot):
        pass


def cpu_s(run: Callable[[], object]) -> float:
    begin_s = process_time()
    run()
    return process_time() - begin_s


def queries_ms(store: Store, signal: Signal) -> dict[str, float]:
    (trace_id,) = store.read(f"SELECT min(trace_id) AS id FROM {VIEWS[signal]}")["id"].to_pylist()
    return {name: least_ms(store, query.format(trace_id=trace_id)) for name, query in QUERIES[signal].items()}


def least_ms(store: Store, query: str) -> float:
    return round(min(cpu_s(lambda: store.read(query)) for _ in range(REPEATS)) * 1e3, 1)


def measure(requests: int, signal: Signal) -> dict[str, Any]:
    result: dict[str, Any] = {"rows": requests * 512, "view": VIEWS[signal]}
    with tempfile.TemporaryDirectory() as name:
        for way in ("table", "hot"):
            store, landing_us = land(Path(name) / way, requests, signal, hot=way == "hot")
            result[way] = {
                "landing_us_per_row": round(landing_us, 1),
                "queries_ms": queries_ms(store, signal),
            }
            sealer = Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60))
            if way == "hot":
                result["files"] = count(store)
                joining.FILES_MIN = 2
                took_s = cpu_s(sealer.join_hot_files)
                result["joined"] = {
                    "joining_us_per_row": round(took_s / result["rows"] * 1e6, 1),
                    "files": count(store),
                    "bytes_per_row": bytes_per_row(store, "hot_files"),
                    "queries_ms": queries_ms(store, signal),
                }
            result[way]["sealing_us_per_row"] = round(cpu_s(sealer.run_once) / result["rows"] * 1e6, 1)
            result[way]["lake_bytes_per_row"] = bytes_per_row(store, "lake_files")
            result[way]["lake_queries_ms"] = queries_ms(store, signal)
            store.close()
    return result


def bytes_per_row(store: Store, table: str) -> float:
    query = f"SELECT sum(size_bytes) / sum(row_count) AS share FROM {table} WHERE expired_at IS NULL"
    (share,) = store.read(query)["share"].to_pylist()
    return round(share or 0, 1)


def count(store: Store) -> int:
    (found,) = store.read("SELECT count(*) AS n FROM hot_files WHERE expired_at IS NULL")["n"].to_pylist()
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--logs", action="store_true", help="log records in place of spans")
    arguments = parser.parse_args()
    signal = Signal.LOGS if arguments.logs else Signal.TRACES
    print(json.dumps(measure(arguments.requests, signal), indent=2))


if __name__ == "__main__":
    main()
