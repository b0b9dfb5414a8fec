"""Reads a lake with PySpark, without any setting for its format, and compares the answers with Spyhop's own.

    uv run --group spark python tests/benchmarks/spark_lake.py [--spans 100000] [--json]

Makes spans (`fleet.sql`), seals them, and asks Spark for: all columns; rate, errors and duration by service;
one trace; an attribute by `variant_get`; exact nanoseconds; the time inside an event. Needs Java 17 or later.
Exits with 1 where an answer differs, and with 0 and a reason where PySpark or Java is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from storage import fill

ROUTE = """variant_get(attributes, '$["http.route"]', 'string')"""
# What Spark is asked, and what gives the same answer here where that is another text.
QUESTIONS = {
    "red": (
        "SELECT service_name, count(*), count_if(status_code = 'ERROR'), max(duration_ns)"
        " FROM spans GROUP BY service_name ORDER BY service_name",
        "",
    ),
    "trace by id": (
        "SELECT span_id, coalesce(parent_span_id, ''), span_name"
        " FROM spans WHERE trace_id = '{trace_id}' ORDER BY 1",
        "",
    ),
    "attribute": (
        f"SELECT {ROUTE} AS route, count(*) FROM spans"
        f" WHERE {ROUTE} IS NOT NULL GROUP BY route ORDER BY route",
        "SELECT attributes['http.route']::VARCHAR AS route, count(*) FROM spans"
        " WHERE attributes['http.route'] IS NOT NULL GROUP BY route ORDER BY route",
    ),
    "nanoseconds": (
        "SELECT span_id, unix_micros(cast(start_time AS timestamp)) * 1000 + start_time_ns_rest AS unix_nano,"
        " start_time_unix_nano FROM spans WHERE trace_id = '{trace_id}' ORDER BY 1",
        "SELECT span_id, epoch_ns(start_time) AS unix_nano, epoch_ns(start_time) AS again FROM spans"
        " WHERE trace_id = '{trace_id}' ORDER BY 1",
    ),
    "event": (
        "SELECT span_id, variant_get(events, '$[0].name', 'string') AS event_name,"
        " unix_micros(cast(variant_get(events, '$[0].time', 'timestamp_ntz') AS timestamp)) * 1000"
        " + variant_get(events, '$[0].time_ns_rest', 'int') AS unix_nano"
        " FROM spans WHERE variant_get(events, '$[0].name', 'string') IS NOT NULL ORDER BY 1 LIMIT 10",
        "SELECT span_id, events[1].name AS event_name, epoch_ns(events[1].time) AS unix_nano"
        " FROM spans WHERE len(events) > 0 ORDER BY 1 LIMIT 10",
    ),
}


def make_lake(folder: Path, span_count: int) -> Any:
    """A store whose spans are all sealed."""
    from collector.lake.sealer import Policy, Sealer
    from collector.store.store import Store

    store = Store.open(folder)
    fill(store, span_count)
    Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60)).run_once()
    return store


def spark_session() -> Any:
    from pyspark.sql import SparkSession

    local = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
    }
    builder = SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC")
    for name, value in local.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def timed(work: Callable[[], list[tuple[Any, ...]]]) -> tuple[list[tuple[Any, ...]], float]:
    """The second of two runs."""
    work()
    started_s = perf_counter()
    return work(), round(perf_counter() - started_s, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--spans", type=int, default=100_000, help="a multiple of 100,000")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        import pyspark
    except ImportError:
        sys.exit(print("skipped: PySpark is not installed; run with `uv run --group spark …`"))
    if not shutil.which("java"):
        sys.exit(print("skipped: Spark needs Java 17 or later, and there is no `java`"))
    found: dict[str, Any] = {"pyspark": pyspark.__version__, "spans": options.spans}
    with tempfile.TemporaryDirectory(prefix="spyhop-spark-") as name:
        store = make_lake(Path(name), options.spans)
        trace_id = store.read("SELECT min(trace_id) AS t FROM spans")["t"][0].as_py()
        spark = spark_session()
        spark.read.parquet(str(store.lake / "traces")).createOrReplaceTempView("spans")
        for question, texts in QUESTIONS.items():
            asked, own = (text.replace("{trace_id}", trace_id) for text in texts)
            rows, seconds = timed(lambda asked=asked: [tuple(row) for row in spark.sql(asked).collect()])  # type: ignore[misc]  # bound now
            expected = [tuple(row.values()) for row in store.read(own or asked).to_pylist()]
            found[question] = {
                "rows": len(rows),
                "seconds": seconds,
                "agrees": bool(rows) and rows == expected,
            }
        spark.stop()
        store.close()
    found["load_1m"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for key, value in found.items():
            print(f"{key:12} {value}")
    if not all(found[question]["agrees"] for question in QUESTIONS):
        sys.exit(1)


if __name__ == "__main__":
    main()
