"""What spans cost in the table, in hot files, and in hot files that are joined to one; CPU time.

    uv run python tests/benchmarks/hot_files.py --requests 800

Each way lands the same requests of 512 spans (9 attributes, about 320 bytes), 4 MiB in a transaction, with
their decoding in the same process, and then answers the same queries; the least of several runs is printed.
In the end both are sealed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from otlp_load import Renewed, make_bodies

from collector.lake import joining
from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store.store import Store
from collector.wal.spool import Spool

REPEATS = 7
QUERIES = {
    "trace by id": "SELECT * FROM spans WHERE trace_id = '{trace_id}'",
    "RED over all": "SELECT service_name, span_name, count(*), avg(duration_ns) FROM spans GROUP BY ALL",
    "attribute = value": "SELECT count(*) FROM spans WHERE attributes['http.route']::VARCHAR = '/resource/7'",
    "newest 100": "SELECT * FROM spans ORDER BY start_time DESC LIMIT 100",
}


def land(folder: Path, requests: int, *, hot: bool) -> tuple[Store, float]:
    """A store with all spans, and the CPU of a span in microseconds."""
    store = Store.open(folder)
    spool = Spool(
        folder / "spool",
        landed=read_position(store)[0],
        max_bytes=1 << 32,
        segment_bytes=1 << 25,
        torn_folder=folder / "torn",
    )
    renewed = Renewed(make_bodies(102_400))
    for appended in [spool.append(Signal.TRACES, renewed.take()) for _ in range(requests)]:
        appended.result(60)
    lander = Lander(store, spool, interval_ms=200, max_bytes=1 << 27)
    lander.land_available(shred=hot)  # imports and first calls
    before = lander.totals.spans
    took_s = cpu_s(lambda: land_all(lander, hot=hot))
    spool.close()
    return store, took_s / (lander.totals.spans - before) * 1e6


def land_all(lander: Lander, *, hot: bool) -> None:
    while lander.land_available(shred=hot):
        pass


def cpu_s(run: Callable[[], object]) -> float:
    begin_s = process_time()
    run()
    return process_time() - begin_s


def queries_ms(store: Store) -> dict[str, float]:
    (trace_id,) = store.read("SELECT min(trace_id) AS id FROM spans")["id"].to_pylist()
    return {name: least_ms(store, query.format(trace_id=trace_id)) for name, query in QUERIES.items()}


def least_ms(store: Store, query: str) -> float:
    return round(min(cpu_s(lambda: store.read(query)) for _ in range(REPEATS)) * 1e3, 1)


def measure(requests: int) -> dict[str, Any]:
    result: dict[str, Any] = {"spans": requests * 512}
    with tempfile.TemporaryDirectory() as name:
        for way in ("table", "hot"):
            store, landing_us = land(Path(name) / way, requests, hot=way == "hot")
            result[way] = {"landing_us_per_span": round(landing_us, 1), "queries_ms": queries_ms(store)}
            sealer = Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60))
            if way == "hot":
                result["files"] = count(store)
                joining.FILES_MIN = 2
                took_s = cpu_s(sealer.join_hot_files)
                result["joined"] = {
                    "joining_us_per_span": round(took_s / result["spans"] * 1e6, 1),
                    "files": count(store),
                    "queries_ms": queries_ms(store),
                }
            result[way]["sealing_us_per_span"] = round(cpu_s(sealer.run_once) / result["spans"] * 1e6, 1)
            result[way]["lake_queries_ms"] = queries_ms(store)
            store.close()
    return result


def count(store: Store) -> int:
    (found,) = store.read("SELECT count(*) AS n FROM hot_files WHERE expired_at IS NULL")["n"].to_pylist()
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=800)
    print(json.dumps(measure(parser.parse_args().requests), indent=2))


if __name__ == "__main__":
    main()
