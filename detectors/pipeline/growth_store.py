"""Resources that are watched for growth, between memory and their table."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.metrics.growth import Episode, Stretches
from detectors.metrics.metric import MetricWatch

_QUERIES = "detectors.pipeline.queries"
_GROWTHS = pa.schema(
    [
        ("series", pa.string()),
        *((name, pa.int64()) for name in ("stretch_s", "begun", "number")),
        ("lowest", pa.float64()),
        ("numbers", pa.list_(pa.int64())),
        ("floors", pa.list_(pa.float64())),
        ("past_hours", pa.list_(pa.int64())),
        ("past_growth", pa.list_(pa.float64())),
        ("episode", pa.string()),
    ]
)


def load_growths(store: Store, watch: MetricWatch) -> None:
    """Give a fresh watch what former runs have seen."""
    for row in store.read("SELECT * REPLACE (episode::VARCHAR AS episode) FROM growth_floors").to_pylist():
        stretches = Stretches(row["number"], row["lowest"], row["begun"])
        stretches.floors.extend(row["floors"])
        stretches.numbers.extend(row["numbers"])
        stretches.past |= dict(zip(row["past_hours"], row["past_growth"], strict=True))
        episode = Episode(**json.loads(row["episode"])) if row["episode"] else None
        watch.restore_growth(row["series"], row["stretch_s"], stretches, episode)


def save_growths(con: duckdb.DuckDBPyConnection, watch: MetricWatch, now_unix_nano: int) -> int:
    """Write what has changed since the last time; returns how many rows."""
    rows = [
        _row(series, stretch_s, stretches, episode)
        for series, stretch_s, stretches, episode in watch.learned_growths()
    ]
    if rows:
        con.register("changed_growths", pa.Table.from_pylist(rows, schema=_GROWTHS))
        con.execute(load_sql(_QUERIES, "save_growths"), {"now": now_unix_nano})
        con.unregister("changed_growths")
    return len(rows)


def _row(series: str, stretch_s: int, stretches: Stretches, episode: Episode | None) -> dict[str, Any]:
    return {
        "series": series,
        "stretch_s": stretch_s,
        "begun": stretches.begun,
        "number": stretches.number,
        "lowest": stretches.lowest,
        "numbers": list(stretches.numbers),
        "floors": list(stretches.floors),
        "past_hours": list(stretches.past),
        "past_growth": list(stretches.past.values()),
        "episode": json.dumps(asdict(episode)) if episode else None,
    }
