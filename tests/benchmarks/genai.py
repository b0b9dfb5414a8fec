"""Text search over long prompts: how long a word takes to find, stored in the database.

    uv run python tests/benchmarks/genai.py --calls 1000000 [--json]

Each call is a span with a prompt of 2 kB of made-up words, no two alike; one in 10,000 holds the word that is
looked for. A million calls take 2 GB while they are measured, and some minutes to make.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

BATCH = 50_000
REPEATS = 3
FILL = """
INSERT INTO spans_recent BY NAME
SELECT 1 AS batch_id, md5('t' || n) AS trace_id, left(md5('s' || n), 16) AS span_id, '' AS trace_state,
    0 AS flags,
    'agent' AS service_name, 'chat' AS span_name, 'CLIENT' AS span_kind,
    make_timestamp_ns(1790000000000000000 + n * 1000000) AS start_time, 1000000 AS duration_ns,
    'UNSET' AS status_code, '' AS status_message,
    {
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.usage.input_tokens': 500::BIGINT,
        'gen_ai.prompt': array_to_string(list_transform(range(60), lambda w: md5(n || '.' || w)), ' ')
        || CASE WHEN n % 10000 = 77 THEN ' refund' ELSE '' END}::VARIANT AS attributes,
    0 AS dropped_attributes_count, [] AS events, 0 AS dropped_events_count, [] AS links,
    0 AS dropped_links_count,
    {'service.name': 'agent'}::VARIANT AS resource_attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, 0 AS scope_dropped_attributes_count,
    '' AS scope_schema_url
FROM (SELECT unnest(range($first, $last)) AS n)
"""
QUERIES = {
    "attribute_like": "SELECT count(*) FROM spans WHERE attributes['gen_ai.prompt']::VARCHAR LIKE '%refund%'",
    "attribute_ilike": "SELECT count(*) FROM spans"
    " WHERE attributes['gen_ai.prompt']::VARCHAR ILIKE '%refund%'",
    "view_like": "SELECT count(*) FROM genai_calls WHERE prompt LIKE '%refund%'",
    "tokens_by_model": "SELECT model, sum(input_tokens), sum(cost) FROM genai_calls GROUP BY model",
}


def measure(calls: int, folder: Path) -> dict[str, Any]:
    from collector.store.store import Store

    store = Store.open(folder)
    cursor = store.cursor()
    for first in range(0, calls, BATCH):
        cursor.execute(FILL, {"first": first, "last": min(first + BATCH, calls)})
    cursor.execute("CHECKPOINT")
    figures: dict[str, Any] = {"calls": calls, "bytes": (folder / "spyhop.duckdb").stat().st_size}
    for name, query in QUERIES.items():
        times = []
        for _ in range(REPEATS):
            started_s = perf_counter()
            cursor.execute(query).fetchall()
            times.append(perf_counter() - started_s)
        figures[f"{name}_s"] = round(min(times), 3)
    cursor.close()
    store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(options.calls, Path(scratch) / "data")
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")
    sys.stdout.flush()
    os._exit(0)  # at once: DuckDB 2.0's binding calls its own module objects leaks at teardown


if __name__ == "__main__":
    main()
