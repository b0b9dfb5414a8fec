"""How well σ is calibrated: the share of unlearned normal spans beyond 3σ, against the ideal 0.135%.

    uv run python tests/benchmarks/calibration.py [FOLDER] [--json]

FOLDER is a labelled-incident folder; half of its normal traces are learned, the other half judged. Normal
are the `baseline` rows, and of the `test` rows those outside any case where there are such. Synthetic
log-normal operations are always judged.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.baseline.sketch import Sketch
from detectors.baseline.tail import THREE_SIGMA_P, fit_tail
from detectors.detect.latency import detect_latency
from detectors.settings import Settings

_SPANS = """
SELECT
    trace_id, span_id, nullif(parent_span_id, '') AS parent_span_id, service_name, span_name AS operation,
    'INTERNAL' AS span_kind, start_time_unix_nano AS start_unix_nano,
    end_time_unix_nano - start_time_unix_nano AS duration_ns,
    service_name || chr(31) || span_name || chr(31) || 'INTERNAL' AS operation_key,
    true AS is_new, false AS flagged, false AS in_incident
FROM read_parquet($path)
WHERE split = 'baseline' AND hash(trace_id || $seed) % 2 = $half
"""


def synthetic(log_sd: float, learned_count: int) -> dict[str, Any]:
    """Share beyond 3σ of log-normal durations with a median of 100 ms, over 50 fits."""
    rng = np.random.default_rng(11)
    shares = []
    for _ in range(50):
        tail = fit_tail(
            Sketch.of(1e8 * np.exp(log_sd * rng.standard_normal(learned_count))), regime_scale_min=20e6
        )
        shares.append((tail.sigma(1e8 * np.exp(log_sd * rng.standard_normal(50_000))) >= 3).mean())
    share = float(np.mean(shares))
    return {"log_sd": log_sd, "learned": learned_count, "share": share, "ratio": share / THREE_SIGMA_P}


def real(folder: Path) -> dict[str, Any]:
    """Both halves learned in turn, five splits: share beyond 3σ, and share that would be flagged."""
    settings = Settings()
    scored = beyond = flagged = judged = 0
    learn_s = judge_s = 0.0
    con = duckdb.connect()
    for seed in "abcde":
        halves = [_half(con, folder, seed, half) for half in (0, 1)]
        for learned, held_out in (halves, halves[::-1]):
            baselines = Baselines(settings)
            began = time.perf_counter()
            baselines.add(learn_times(learned))
            middle = time.perf_counter()
            flagged += len(detect_latency(held_out, baselines, settings))
            judge_s += time.perf_counter() - middle
            learn_s += middle - began
            judged += held_out.num_rows
            counts = _beyond_three_sigma(held_out, baselines)
            scored, beyond = scored + counts[0], beyond + counts[1]
    return {
        "folder": folder.name,
        "judged": judged,
        "scored": scored,
        "share": beyond / scored if scored else None,
        "ratio": beyond / scored / THREE_SIGMA_P if scored else None,
        "flagged_share": flagged / judged,
        "learn_us_per_span": 1e6 * learn_s / judged,
        "judge_us_per_span": 1e6 * judge_s / judged,
    }


def _half(con: duckdb.DuckDBPyConnection, folder: Path, seed: str, half: int) -> pa.Table:
    params = {"path": str(folder / "spans.parquet"), "seed": seed, "half": half}
    return con.sql(_SPANS, params=params).to_arrow_table()


def _beyond_three_sigma(spans: pa.Table, baselines: Baselines) -> tuple[int, int]:
    """(spans of ready operations, those of them beyond 3σ), without the minimum effect."""
    scored = beyond = 0
    keys = ["service_name", "operation"]
    for group in spans.select(keys).group_by(keys).aggregate([]).to_pylist():
        model = baselines.duration(group["service_name"], group["operation"], "INTERNAL", 0)
        if model is None:
            continue
        same = pc.and_(*(pc.equal(spans[key], group[key]) for key in keys))
        sigma = model.tail.sigma(spans.filter(same)["duration_ns"].to_numpy())
        scored += len(sigma)
        beyond += int((sigma >= 3).sum())
    return scored, beyond


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="labelled-incident folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "ideal": THREE_SIGMA_P,
        "synthetic": [synthetic(sd, count) for sd in (0.5, 1.0) for count in (500, 2_000, 10_000, 50_000)],
        "real": real(arguments.folder) if arguments.folder else None,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for row in result["synthetic"]:
        print(
            f"log-normal sd {row['log_sd']}, {row['learned']:>6} learned: "
            f"{row['share']:.4%} ({row['ratio']:.2f} × ideal)"
        )
    if result["real"]:
        for name, value in result["real"].items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
