"""How well σ is calibrated: the share of unlearned normal spans beyond 3σ, against the ideal 0.135%.

    uv run python tests/benchmarks/calibration.py [FOLDER] [--json] [--hours 1]

FOLDER is a labelled-incident folder; half of its normal traces are learned, the other half judged. Normal
are the `baseline` rows. Synthetic log-normal operations are always judged. The table of few samples says how
well operations with 10 to 1,000 samples are calibrated by what the others of their service have in common.

The shift rule is judged by what it finds where nothing is wrong: in hours of synthetic traffic with a hiccup
of 50 to 200 ms every 5 s that hits all spans under way, and in the folder's `test` rows before the injection
of their case. So is the rule for what is suddenly faster; `faster_windows` are its false alarms.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtr

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.baseline.pool import Pool, pool
from detectors.incidents.tracker import IncidentTracker
from detectors.model.operation import Operation
from detectors.settings import Settings
from detectors.spans.latency import detect_latency, slow_span
from detectors.spans.latency_shift import ShiftWatch, with_shift
from detectors.spans.speedup import FasterWatch
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.sketch import Sketch
from detectors.stats.tail import THREE_SIGMA_P, Tail, fit_tail
from detectors.stream.span_groups import group_spans

_SPANS = """
SELECT
    trace_id, span_id, nullif(parent_span_id, '') AS parent_span_id, service_name, span_name AS operation,
    'INTERNAL' AS span_kind, start_time_unix_nano AS start_unix_nano,
    end_time_unix_nano - start_time_unix_nano AS duration_ns,
    service_name || chr(31) || span_name || chr(31) || 'INTERNAL' AS operation_key,
    true AS is_new, false AS flagged, false AS in_incident
FROM read_parquet($path) s
"""
_HALF = _SPANS + "WHERE split = 'baseline' AND hash(trace_id || $seed) % 2 = $half"
_NORMAL = _SPANS + "WHERE {where}"
_BASELINE = "split = 'baseline'"
# Exceptions and wrong answers slow nothing down. Of delays and contention the label is too late: latencies
# are those of the fault up to 55 s before it.
_BEFORE_INJECTION = """
EXISTS (
    FROM cases c
    WHERE
        c.case_id = s.case_id AND s.start_time_unix_nano < c.inject_time_unix_nano
        AND c.fault_kind IN ('exception', 'return') AND hash(c.case_id) % 2 = $half
)
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


FAR_SIGMAS = (3.0, 3.5, 4.0, 4.5, 5.0)
_FAR_DRAWS: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "log-normal sd .4": lambda rng, n: 15e6 * np.exp(0.4 * rng.standard_normal(n)),
    "log-normal sd 1": lambda rng, n: 5e6 * np.exp(rng.standard_normal(n)),
    "exponential": lambda rng, n: 20e6 * rng.exponential(size=n),
    "Pareto, 2": lambda rng, n: 5e6 * (1 + rng.pareto(2, n)),
}


def far_tail(learned_count: int) -> dict[str, dict[float, float]]:
    """Of distributions of four kinds, the share beyond each σ as a multiple of the ideal, over 20 fits."""
    found = {}
    for name, draw in _FAR_DRAWS.items():
        rng = np.random.default_rng(5)
        beyond = np.zeros(len(FAR_SIGMAS))
        for _ in range(20):
            tail = fit_tail(Sketch.of(draw(rng, learned_count)), regime_scale_min=20e6)
            samples = draw(rng, 200_000)
            beyond += [(samples > limit).mean() / 20 for limit in tail.values_at(FAR_SIGMAS)]
        found[name] = dict(zip(FAR_SIGMAS, (beyond / ndtr([-s for s in FAR_SIGMAS])).tolist(), strict=True))
    return found


SAMPLE_COUNTS = (10, 20, 50, 100, 1_000)


def few_samples(sample_counts: tuple[int, ...] = SAMPLE_COUNTS) -> dict[int, float]:
    """By number of samples, the share beyond 3σ as a multiple of the ideal: 24 services of twelve log-normal
    operations whose spreads differ by a third, judged with what a service's others say."""
    found = {}
    for count in sample_counts:
        beyond = judged = 0
        for seed in range(24):
            rng = np.random.default_rng([seed, count])
            samples = [_durations(rng, 400 if n < 12 else count) for n in range(24)]
            others = pool(Sketch.of(drawn) for drawn, _ in samples[:12])
            for drawn, more in samples[12:]:
                sigma = _among(Sketch.of(drawn), others).sigma(more)
                beyond, judged = beyond + int((sigma >= 3).sum()), judged + len(sigma)
        found[count] = beyond / judged / THREE_SIGMA_P
    return found


def _durations(rng: np.random.Generator, count: int) -> tuple[FloatArray, FloatArray]:
    """(samples of one operation, 4,000 more)."""
    median, log_sd = 10 ** rng.uniform(6, 8.5), 0.4 * np.exp(0.4 * rng.standard_normal())
    return tuple(median * np.exp(log_sd * rng.standard_normal(n)) for n in (count, 4_000))  # type: ignore[return-value]


def _among(sketch: Sketch, others: Pool) -> Tail:
    pooled = others.expected(sketch)
    return fit_tail(sketch, regime_scale_min=20e6, pooled=pooled, pooled_count=others.sample_count)


def few_real_samples(folder: Path, sample_counts: tuple[int, ...] = SAMPLE_COUNTS) -> dict[int, float]:
    """The same of a folder's operations: so many `baseline` rows of each are learned, the rest judged."""
    query = _NORMAL.format(where=_BASELINE)
    spans = duckdb.connect().sql(query, params={"path": str(folder / "spans.parquet")}).to_arrow_table()
    times = spans.group_by(["service_name", "operation"]).aggregate([("duration_ns", "list")]).to_pylist()
    of_service: dict[str, list[FloatArray]] = {}
    for row in times:
        of_service.setdefault(row["service_name"], []).append(np.array(row["duration_ns_list"], np.float64))
    everything = [Sketch.of(values) for rows in of_service.values() for values in rows]
    rng = np.random.default_rng(3)
    found = {}
    for count in sample_counts:
        shares = []
        for rows in of_service.values():
            for place, values in enumerate(rows):
                if len(values) < 1.5 * count + 15:
                    continue
                rest = [Sketch.of(other) for number, other in enumerate(rows) if number != place]
                others = pool(rest if len(rest) >= 5 else everything)
                for _ in range(6):
                    mixed = rng.permutation(values)
                    sigma = _among(Sketch.of(mixed[:count]), others).sigma(mixed[count : count + 3_000])
                    shares.append(float((sigma >= 3).mean()))
        if shares:
            found[count] = float(np.mean(shares)) / THREE_SIGMA_P
    return found


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
            flagged += len(detect_latency(held_out, group_spans(held_out, baselines.duration), settings))
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
    return con.sql(_HALF, params=params).to_arrow_table()


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


# Median in ms and spans a second of the operations of a synthetic service.
_OPERATIONS = ((0.3, 50.0), (8.0, 50.0), (40.0, 10.0), (300.0, 5.0), (20.0, 1.0))
_HICCUPS_EVERY_S = 5.0
_LEARN_S = 300.0
_PASS_S = 0.5


def bursty(hours: float) -> dict[str, Any]:
    """Log-normal durations (sd 0.3) and hiccups: learn five minutes, then watch for so many hours."""
    rng = np.random.default_rng(5)
    end_s = _LEARN_S + hours * 3_600
    begins = np.sort(rng.uniform(0, end_s, rng.poisson(end_s / _HICCUPS_EVERY_S)))
    ends = begins + rng.uniform(0.05, 0.2, len(begins))
    parts = []
    for number, (p50_ms, rate_per_s) in enumerate(_OPERATIONS):
        starts = np.sort(rng.uniform(0, end_s, rng.poisson(end_s * rate_per_s)))
        duration_s = p50_ms / 1e3 * np.exp(0.3 * rng.standard_normal(len(starts)))
        # The first hiccup that is not over when the span begins.
        near = np.minimum(np.searchsorted(ends, starts), len(ends) - 1)
        held_s = ends[near] - np.maximum(starts, begins[near])
        hit = begins[near] < starts + duration_s
        parts.append(_synthetic_spans(number, starts, duration_s + np.where(hit, held_s, 0.0)))
    spans = pa.concat_tables(parts)
    starts = (spans["start_unix_nano"].to_numpy() - _START_NS) / 1e9
    baselines = Baselines(Settings())
    baselines.add(learn_times(spans.filter(pa.array(starts < _LEARN_S))))
    found = watch(spans.filter(pa.array(starts >= _LEARN_S)), baselines)
    return {"hours": hours, "operations": len(_OPERATIONS), **found}


_START_NS = 1_790_000_000 * 10**9


def _synthetic_spans(number: int, starts_s: FloatArray, duration_s: FloatArray) -> pa.Table:
    ids = [f"{number:08x}{i:024x}" for i in range(len(starts_s))]
    return pa.table(
        {
            "trace_id": ids,
            "span_id": [i[-16:] for i in ids],
            "parent_span_id": pa.nulls(len(ids), pa.string()),
            "service_name": ["synthetic"] * len(ids),
            "operation": [f"operation {number}"] * len(ids),
            "span_kind": ["INTERNAL"] * len(ids),
            "start_unix_nano": _START_NS + (starts_s * 1e9).astype(np.int64),
            "duration_ns": (duration_s * 1e9).astype(np.int64),
            "operation_key": [f"synthetic\x1foperation {number}\x1fINTERNAL"] * len(ids),
            **{name: [name == "is_new"] * len(ids) for name in ("is_new", "flagged", "in_incident")},
        }
    )


def watch(spans: pa.Table, baselines: Baselines) -> dict[str, Any]:
    """Judge spans in passes of half a second, as live; what the shift rule and the incidents make of them."""
    settings = Settings()
    shifts, tracker, without = (
        ShiftWatch(settings, slow_span),
        IncidentTracker(settings),
        IncidentTracker(settings),
    )
    spans = spans.sort_by("start_unix_nano")
    starts = spans["start_unix_nano"].to_numpy()
    edges = np.flatnonzero(np.diff(starts // int(_PASS_S * 1e9))) + 1
    bounds = [0, *edges.tolist(), len(starts)]
    incidents: set[str] = set()
    incidents_without: set[str] = set()
    by_shift = alone = episodes = 0
    last_s: dict[Operation, float] = {}
    faster = FasterWatch(settings)
    faster_windows = 0
    seconds = faster_seconds = 0.0
    for begin, end in pairwise(bounds):
        batch = spans.slice(begin, end - begin)
        now_ns = int(starts[end - 1])
        now_s = now_ns / 1e9
        began = time.perf_counter()
        groups = group_spans(batch, baselines.duration)
        found = shifts.observe(batch, groups, now_s)
        seconds += time.perf_counter() - began
        began = time.perf_counter()
        faster_windows += len({a.operation_key for a in faster.judge(batch, groups, now_s)})
        faster_seconds += time.perf_counter() - began
        slow = detect_latency(batch, groups, settings)
        new, raised = with_shift(slow, found)
        grouped = tracker.observe(now_s, now_ns, groups.counts(), new, raised)
        incidents |= grouped.changed.keys()
        incidents_without |= without.observe(now_s, now_ns, groups.counts(), slow).changed.keys()
        by_shift += len(found.new)
        alone += len(slow)
        for anomaly in [*found.new, *found.raised]:
            episodes += now_s - last_s.get(anomaly.operation_key, -1e9) > _EPISODE_S
            last_s[anomaly.operation_key] = now_s
    return {
        "spans": len(starts),
        "seconds_of_traffic": _seconds_covered(starts),
        "shift_windows": episodes,
        "spans_flagged_by_shift": by_shift,
        "spans_flagged_alone": alone,
        "incidents": len(incidents),
        "incidents_without_shift": len(incidents_without),
        "shift_us_per_span": 1e6 * seconds / max(len(starts), 1),
        "faster_windows": faster_windows,
        "faster_us_per_span": 1e6 * faster_seconds / max(len(starts), 1),
    }


_EPISODE_S = 30.0  # shift findings of one operation within this are one window


def _seconds_covered(starts: IntArray) -> int:
    return len(np.unique(starts // 10**9))


def quiet_parts(folder: Path) -> dict[str, Any]:
    """Rows of cases before their injection: half of the cases learned with the baseline rows, half judged."""
    con = duckdb.connect()
    path = str(folder / "spans.parquet")
    con.execute("CREATE TABLE cases AS SELECT * FROM read_json_auto(?)", [str(folder / "cases.json")])
    baseline = con.sql(_NORMAL.format(where=_BASELINE), params={"path": path}).to_arrow_table()
    halves = [
        con.sql(_NORMAL.format(where=_BEFORE_INJECTION), params={"path": path, "half": half}).to_arrow_table()
        for half in (0, 1)
    ]
    found = {}
    for name, learned, judged in (("half 0", halves[1], halves[0]), ("half 1", halves[0], halves[1])):
        baselines = Baselines(Settings())
        baselines.add(learn_times(pa.concat_tables([baseline, learned])))
        found[name] = watch(judged, baselines)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="labelled-incident folder")
    parser.add_argument("--hours", type=float, default=1.0, help="of synthetic traffic for the shift rule")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "ideal": THREE_SIGMA_P,
        "few_samples": few_samples(),
        "few_real_samples": few_real_samples(arguments.folder) if arguments.folder else None,
        "far_tail": {count: far_tail(count) for count in (300, 1_000, 3_000)},
        "synthetic": [synthetic(sd, count) for sd in (0.5, 1.0) for count in (500, 2_000, 10_000, 50_000)],
        "real": real(arguments.folder) if arguments.folder else None,
        "shift_bursty": bursty(arguments.hours),
        "shift_real": quiet_parts(arguments.folder) if arguments.folder else None,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name in ("few_samples", "few_real_samples"):
        for count, ratio in (result[name] or {}).items():
            print(f"{name.replace('_', ' ')}, n = {count:>5}: {ratio:.2f} × ideal beyond 3σ")
    for count, rows in result["far_tail"].items():
        for name, ratios in rows.items():
            said = "  ".join(f"{sigma}σ {ratio:.2f}" for sigma, ratio in ratios.items())
            print(f"far tail, {count:>5} learned, {name}: {said} × ideal")
    for row in result["synthetic"]:
        print(
            f"log-normal sd {row['log_sd']}, {row['learned']:>6} learned: "
            f"{row['share']:.4%} ({row['ratio']:.2f} × ideal)"
        )
    if result["real"]:
        for name, value in result["real"].items():
            print(f"{name}: {value}")
    print("shift rule, bursty synthetic traffic:", result["shift_bursty"])
    for name, value in (result["shift_real"] or {}).items():
        print(f"shift rule, {name.replace('_', ' ')}:", value)


if __name__ == "__main__":
    main()
