"""What baselines adopt and what they refuse, over warped days of one shop, through the live pipeline.

    uv run python tests/benchmarks/adoption.py [--days 10] [--json] [--only drift]

An order every 12 s, each a request and its query of about 50 ms. Prints for each story the share of spans
flagged while nothing was wrong, what was adopted when, and how far the baseline's median is from the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings

_START_S = 1_790_000_000
_GAP_S = 12.0
_LOG_SD = 0.2
_P50_NS = 50e6
_INSERT = """
INSERT INTO spans_recent BY NAME
SELECT
    * EXCLUDE (start_unix_nano, resource), make_timestamp_ns(start_unix_nano) AS start_time,
    '' AS trace_state, 0 AS flags, '' AS status_message,
    '{}'::JSON::VARIANT AS attributes, 0 AS dropped_attributes_count,
    [] AS events, 0 AS dropped_events_count, [] AS links, 0 AS dropped_links_count,
    resource::JSON::VARIANT AS resource_attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, NULL AS scope_attributes,
    0 AS scope_dropped_attributes_count, '' AS scope_schema_url
FROM landed
"""


class Story(NamedTuple):
    """The course of a run by hours since the start; `wrong` is when spans ought to be flagged."""

    hours: float
    pass_s: float
    factor: Callable[[float], float]
    version: Callable[[float], str] = lambda _: "1.0"
    failed: Callable[[float], float] = lambda _: 0.0
    wrong: Callable[[float], bool] = lambda _: False
    settings: Mapping[str, Any] = MappingProxyType({})


def stories(days: float) -> dict[str, Story]:
    later = Story(9.0, 300.0, lambda h: 1.8 if h >= 5 else 1.0, wrong=lambda h: 5 <= h < 7.5)
    return {
        "drift": Story(24 * days, 3_600.0, lambda h: 1.02 ** (h / 24)),
        "drift, not followed": Story(
            24 * days, 3_600.0, lambda h: 1.02 ** (h / 24), settings={"baseline_drift_per_day": 0.0}
        ),
        "drift down": Story(24 * days, 3_600.0, lambda h: 0.98 ** (h / 24)),
        "deploy": later._replace(version=lambda h: "1.1" if h >= 5 else "1.0"),
        "no deploy": later._replace(wrong=lambda h: h >= 5),
        "bad deploy": later._replace(
            version=lambda h: "1.1" if h >= 5 else "1.0",
            failed=lambda h: 0.1 if h >= 5 else 0.0,
            wrong=lambda h: h >= 5,
        ),
        "fault of 3 h": Story(
            10.0, 300.0, lambda h: 1.8 if 5 <= h < 8 else 1.0, wrong=lambda h: 5 <= h < 8
        ),
        "leak": Story(
            10.0, 300.0, lambda h: 1 + max(h - 5, 0) * 0.5, lambda h: "1.1" if h >= 5 else "1.0",
            wrong=lambda h: h >= 5,
        ),
    }  # fmt: skip


def play(story: Story) -> dict[str, Any]:
    """Live through a story."""
    rng = np.random.default_rng(4)
    began = time.process_time()
    now = {"s": 0.0}
    with tempfile.TemporaryDirectory(prefix="spyhop-adoption-") as folder:
        store = Store.open(Path(folder))
        pipeline = Pipeline(
            store,
            # A pass is minutes here: what is found in the next one still belongs to the same incident.
            Settings(detect_learn_delay_s=0.0, incident_resolve_s=2 * story.pass_s, **story.settings),
            clock_ns=lambda: int((_START_S + now["s"]) * 1e9),
            monotonic_s=lambda: now["s"],
        )
        passes = int(story.hours * 3_600 / story.pass_s)
        first = 0
        for number in range(1, passes + 1):
            at_s = np.arange((number - 1) * story.pass_s, number * story.pass_s, _GAP_S)
            with store.transaction() as con:
                con.register("landed", _spans(story, rng, at_s, first, number))
                con.execute(_INSERT)
                con.unregister("landed")
            first += len(at_s)
            store.announce_landed(number)
            now["s"] = number * story.pass_s
            pipeline.judge_landed(number)
            pipeline.learn_settled()
        flagged = store.read(
            "SELECT DISTINCT trace_id, epoch_ns(span_start_time) AS t FROM anomalies "
            "WHERE operation = 'query'"
        )
        hours = (flagged["t"].to_numpy() / 1e9 - _START_S) / 3_600
        needless = sum(not story.wrong(hour) for hour in hours.tolist())
        versions = store.read(
            "SELECT (epoch_ns(adopted_at) / 1e9 - ?) / 3600 AS hour, reason, way, "
            "from_value / 1e6 AS from_ms, to_value / 1e6 AS to_ms "
            "FROM baseline_versions WHERE operation = 'query' ORDER BY 1",
            [_START_S],
        ).to_pylist()
        model = pipeline.baselines.duration("shop", "query", "CLIENT", 0)
        incidents = store.read("SELECT count(*) AS n FROM incidents")["n"][0].as_py()
        store.close()
    truth = _P50_NS * story.factor(story.hours)
    quiet = sum(not story.wrong(hour) for hour in np.arange(0, story.hours, _GAP_S / 3_600).tolist())
    return {
        "spans": first,
        "flagged_needlessly": needless,
        "share": round(needless / quiet, 5),
        "incidents": incidents,
        "adopted": [
            {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in versions
        ],
        "p50_against_truth": round(model.tail.p50 / truth, 3) if model else None,
        "cpu_s": round(time.process_time() - began, 1),
    }


def _spans(story: Story, rng: np.random.Generator, at_s: Any, first: int, batch: int) -> pa.Table:
    count = len(at_s)
    hours = at_s / 3_600
    factor = np.array([story.factor(hour) for hour in hours.tolist()])
    query = (_P50_NS * factor * np.exp(_LOG_SD * rng.standard_normal(count))).astype(np.int64)
    whole = query + (2e6 * np.exp(0.3 * rng.standard_normal(count))).astype(np.int64)
    start = ((_START_S + at_s) * 1e9).astype(np.int64)
    traces = [f"{first + i:032x}" for i in range(count)]
    roots, children = ([f"{(first + i) * 2 + n:016x}" for i in range(count)] for n in (0, 1))
    failed = rng.random(count) < np.array([story.failed(hour) for hour in hours.tolist()])
    status = np.where(failed, "ERROR", "UNSET").tolist()
    versions = [f'{{"service.version": "{story.version(hour)}"}}' for hour in hours.tolist()]
    return pa.table(
        {
            "batch_id": pa.array([batch] * (2 * count), pa.int64()),
            "trace_id": traces * 2,
            "span_id": roots + children,
            "parent_span_id": pa.array([None] * count + roots, pa.string()),
            "service_name": ["shop"] * (2 * count),
            "span_name": ["POST /orders"] * count + ["query"] * count,
            "span_kind": ["SERVER"] * count + ["CLIENT"] * count,
            "start_unix_nano": np.concatenate([start, start + 1_000_000]),
            "duration_ns": np.concatenate([whole, query]),
            "status_code": status * 2,
            "resource": versions * 2,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=float, default=10.0, help="of the stories of drift")
    parser.add_argument("--only", help="one story")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    chosen = {name: s for name, s in stories(arguments.days).items() if arguments.only in (None, name)}
    result = {}
    for name, story in chosen.items():
        result[name] = play(story)
        if not arguments.json:
            print(
                f"{name}: " + ", ".join(f"{key} {value}" for key, value in result[name].items()), flush=True
            )
    if arguments.json:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
