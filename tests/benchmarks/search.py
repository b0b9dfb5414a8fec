"""How long searches for traces take, over everything that is stored.

    uv run python tests/benchmarks/search.py --spans 1000000 10000000 [--json]

The spans are those of `storage.py`: 10 a trace, 50 services, 500 operations, about 9 attributes. A search
runs in this process, as `GET /api/traces/search` runs it, for 20 traces over the whole range; the least of
seven runs, on the wall and in CPU of all threads. `--sealed` moves the spans to the lake first.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

SEARCHES = {
    # the goals: 150 ms, 300 ms, 1 s at 10 M
    "service_and_duration": '{ resource.service.name = "user-service-07" && duration > 200ms }',
    "attribute": '{ span.user.id = "user-77" }',
    "attribute_number": "{ span.http.response.status_code >= 500 && duration > 100ms }",
    "structural": '{ resource.service.name = "order-service-00" } >> { kind = client && status = error }',
    "structural_without_result": '{ resource.service.name = "user-service-07" } >> { status = error }',
    "everything": "{}",
    "rare_count": "{ status = error } | count() > 3",
    "root": '{ rootServiceName = "order-service-00" && status = error }',
    "nothing": '{ span.user.id = "nobody" }',
    "regex": '{ span.http.route =~ "/api/v1/carts.*" && status = error }',
}


def measure(span_count: int, folder: Path, *, is_sealed: bool) -> dict[str, Any]:
    from collector.lake.sealer import Policy, Sealer
    from collector.search.parser import parse
    from collector.search.search import Limits, search
    from collector.search.times import Range
    from collector.sql.query import QueryRunner
    from collector.store.store import Store

    storage = _storage()
    store = Store.open(folder)
    try:
        storage.fill(store, span_count)
        if is_sealed:
            Sealer(store, Policy(seal_after_s=1, settle_s=0, interval_s=60)).run_once()
        store.cursor().execute("CHECKPOINT")
        queries = QueryRunner(store)
        (ends,) = store.read(
            "SELECT epoch_ns(min(start_time)) AS a, epoch_ns(max(start_time)) AS b FROM spans"
        ).to_pylist()
        span = Range(ends["a"], ends["b"] + 1)
        figures: dict[str, Any] = {"spans": span_count}
        for name, text in SEARCHES.items():
            query = parse(text)
            found = search(queries, query, span, Limits())
            figures[f"{name}_traces"] = len(found.traces)

            def run(query: Any = query, span: Any = span) -> None:
                search(queries, query, span, Limits())

            figures[f"{name}_ms"] = storage.best_ms(run)
            figures[f"{name}_cpu_ms"] = cpu_ms(run)
        queries.close()
        return figures
    finally:
        store.close()


def cpu_ms(work: Callable[[], object]) -> float:
    """The least of three, of all threads together."""
    times = []
    for _ in range(3):
        started_s = process_time()
        work()
        times.append((process_time() - started_s) * 1000)
    return round(min(times), 1)


def _storage() -> Any:
    spec = importlib.util.spec_from_file_location("storage", Path(__file__).parent / "storage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, nargs="+", default=[1_000_000], help="one run for each number")
    parser.add_argument("--data", type=Path, help="an existing folder to fill up, keep and measure")
    parser.add_argument("--sealed", action="store_true", help="in the lake instead of the database")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = [
            measure(count, options.data or Path(scratch) / str(count), is_sealed=options.sealed)
            for count in options.spans
        ]
    if options.json:
        json.dump(results, sys.stdout)
        print()
        return
    for result in results:
        for name, value in result.items():
            print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
