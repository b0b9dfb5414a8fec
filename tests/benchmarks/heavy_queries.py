"""What 40 heavy queries, 10 at once, do to a server that takes 20,000 spans a second meanwhile.

    uv run python tests/benchmarks/heavy_queries.py [--rate 20000] [--at-once 10] [--json]

Queries are heavy in memory, in time, in what they spill, in planning and in what they return; each says in
"outcomes" how it ended. `/healthz` is asked ten times a second. "memory_above_idle_mb" is resident memory of
the server with the processes that check queries, above what it is after the first spans. Exits with 1 when an
acknowledged span is missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import httpx2
from ingest import MemoryWatch, surroundings
from otlp_load import SPANS_PER_REQUEST, Load, generate, percentiles
from own_processes import tree_rss_bytes

_MIB = 1 << 20
_WARM_S = 5.0
QUERIES = [
    # time
    "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE hash(a.range, b.range) = 1",
    "SELECT count(*) FROM spans a, spans b WHERE a.duration_ns + b.duration_ns = 7",
    "SELECT count(*) FROM spans a, spans b, spans c WHERE hash(a.span_id, b.span_id, c.span_id) = 1",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "SELECT sum(levenshtein(a.trace_id || a.span_id, b.trace_id || b.span_id)) FROM spans a, spans b",
    "SELECT max(regexp_replace(trace_id, '(a|b|c)*d', 'x', 'g')) FROM spans, range(1000)",
    "SELECT sum(list_sum(list_transform(range(1000), lambda x: x + duration_ns))) FROM spans",
    "SELECT quantile_cont(hash(a.range, b.range), 0.5) FROM range(30000) a, range(30000) b",
    # memory
    "SELECT count(DISTINCT hash(a.range, b.range)) FROM range(20000) a, range(20000) b",
    "SELECT list(a.span_id || b.span_id) FROM spans a, spans b",
    "SELECT string_agg(a.span_id, ',') FROM spans a, range(10000)",
    "SELECT a.trace_id || b.span_id AS k, count(*) FROM spans a, spans b GROUP BY k ORDER BY k LIMIT 1",
    "SELECT histogram(hash(span_id, range)) FROM spans, range(1000)",
    "SELECT max(length(s)) FROM (SELECT string_agg(span_id, '') OVER () AS s FROM spans)",
    "SELECT array_agg(attributes::VARCHAR ORDER BY span_id DESC) FROM spans, range(100)",
    "SELECT repeat(span_id, 60000) FROM spans",
    "SELECT sum(length(repeat(span_id, 60000))) FROM spans",
    "WITH RECURSIVE r(s) AS (SELECT min(span_id) FROM spans UNION ALL SELECT s || s FROM r)"
    " SELECT max(length(s)) FROM r",
    # spill
    "SELECT * FROM spans a, range(1000) ORDER BY hash(a.span_id, range)",
    "SELECT *, row_number() OVER (PARTITION BY range % 7 ORDER BY span_id) FROM spans, range(500)",
    "SELECT DISTINCT ON (hash(span_id, range) % 1000000007) * FROM spans, range(1000)",
    "SELECT * FROM (FROM spans, range(500)) a JOIN (FROM spans, range(500)) b USING (span_id, range)",
    # planning
    "SELECT " + "nullif(" * 22 + "duration_ns" + ", 7)" * 22 + " FROM spans",
    "SELECT " + "list_transform([1], lambda x: " * 22 + "1" + ")" * 22,
    "SELECT " + "(" * 5000 + "1",
    "SELECT count(*) FROM " + ", ".join(f"spans s{n}" for n in range(60)),
    " UNION ALL ".join(["FROM spans SELECT span_id"] * 1500),
    "SELECT duration_ns IN (" + ", ".join(map(str, range(9000))) + ") FROM spans",
    # what comes out
    "FROM spans LIMIT 1000000",
    "SELECT a.* FROM spans a, range(1000) LIMIT 1000000",
    "SELECT repeat('x', 2000) AS x FROM range(1000000)",
    "SELECT list(range) FROM range(50_000_000)",
    "SELECT range(100000) AS l FROM spans",
    # crashes and what cannot be stopped
    "SELECT (repeat('[', 10000) || repeat(']', 10000))::JSON::VARIANT",
    "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT json_group_structure((repeat('[', 10000) || repeat(']', 10000))::JSON)",
    "SELECT printf('%1000000000d', duration_ns) FROM spans",
    "SELECT list_resize([duration_ns], 1000000000) FROM spans",
    "SELECT lpad(span_id, 2000000000, 'y') FROM spans",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=20_000, help="spans a second")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {**surroundings(), **measure(options.rate, options.at_once)}
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>24}  {value}")


def measure(spans_per_s: float, at_once: int) -> dict[str, Any]:
    from collector.server import Server
    from collector.settings import Settings

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        settings = Settings(
            data=Path(folder) / "data", otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere, sql_timeout_s=10
        )
        server = Server(settings)
        addresses = server.start()
        results, go = context.Queue(), context.Event()
        load = Load("grpc", 51_200, seconds=600, spans_per_s=spans_per_s)
        stop = context.Event()
        generator = context.Process(target=generate, args=(addresses, load, results, go, stop), daemon=True)
        generator.start()
        try:
            assert results.get(timeout=120) == "ready"
            go.set()
            sleep(_WARM_S)
            idle_bytes = tree_rss_bytes({generator.pid})
            memory = MemoryWatch(lambda: server.lander.totals.spans, {generator.pid})
            prober = _Prober(addresses["api"], lambda: server.lander.status()["lag_s"])
            started_s = perf_counter()
            outcomes = _ask_all(addresses["api"], at_once)
            seconds = perf_counter() - started_s
            probed = prober.stop()
            memory_mb = memory.stop()
            stop.set()
            sent = results.get(timeout=60)
            while server.spool.status()["bytes"]:
                sleep(0.05)
            span_count = sent["requests"] * SPANS_PER_REQUEST
            stored = server.store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist()[0]
            if stored != span_count:
                sys.exit(f"{span_count} spans were acknowledged, {stored} are stored")
        finally:
            generator.kill()
            server.stop()
    return {
        "queries": len(QUERIES),
        "seconds": round(seconds, 1),
        "outcomes": outcomes,
        "offered_per_s": spans_per_s,
        "acknowledged_spans": span_count,
        "acknowledged_ms": sent["acknowledged_ms"],
        **probed,
        "memory_above_idle_mb": memory_mb["max_mb"] - idle_bytes // _MIB,
    }


def _ask_all(api: str, at_once: int) -> dict[str, int]:
    """Ask each query once, come again where there was no place, and count how they ended."""
    numbers, outcomes = itertools.count(), Counter[str]()

    def work() -> None:
        with httpx2.Client(base_url=api, timeout=120, trust_env=False) as client:
            while (number := next(numbers)) < len(QUERIES):
                while True:
                    answer = client.post("/api/sql", json={"query": QUERIES[number]})
                    if answer.status_code != 503:
                        break
                    outcomes["503, asked again"] += 1
                    sleep(1)
                is_cut = answer.headers.get("x-spyhop-truncated") == "true"
                outcomes[f"{answer.status_code}{', cut' if is_cut else ''}"] += 1

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(sorted(outcomes.items()))


class _Prober:
    """Asks for health, and looks at the lag, ten times a second."""

    def __init__(self, api: str, lag_s: Any) -> None:
        self._api, self._lag_s = api, lag_s
        self._healthz_ms: list[float] = []
        self._lags_s: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        self._stopping.set()
        self._thread.join()
        return {"healthz_ms": percentiles(self._healthz_ms), "lag_s": {"max": max(self._lags_s)}}

    def _loop(self) -> None:
        with httpx2.Client(base_url=self._api, timeout=60, trust_env=False) as client:
            while not self._stopping.wait(0.1):
                started_s = perf_counter()
                assert client.get("/healthz").status_code == 200
                self._healthz_ms.append((perf_counter() - started_s) * 1000)
                self._lags_s.append(float(self._lag_s()))


if __name__ == "__main__":
    main()
