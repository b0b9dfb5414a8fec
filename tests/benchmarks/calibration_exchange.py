"""How quiet the detectors are on the exchange's own normal traffic: days are learned, the next is judged.

    uv run python tests/benchmarks/calibration_exchange.py [--days 3] [--traders mixed] [--json]
    … --record FILE     keep the spans;  … --spans FILE     judge kept ones again

Orders are executed now, at `--rate` a second, and dated back (`spyhop exchange history`), so durations are
those of this machine while it was used by whatever else runs. They then go through live detection on the
clock of their own time: judged, learned once settled, flagged ones left out. The last 24 hours are judged and
not learned. Which trace is dated when: `spread` draws it at random, so that a stall, stretched with the
time, does not become minutes in which all is slow; `days-mixed` puts each hour of the day, whole, on a random
day; `executed` leaves all as it was executed.

Prints the share of their spans beyond 3σ against the ideal 0.135%, per operation and overall, and what was
raised in them: anomalies by detector and severity, and incidents.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import poisson

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.learning.learner import Learner
from detectors.model.anomaly import AMOUNT
from detectors.pipeline.detection import Detection
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.tail import THREE_SIGMA_P
from detectors.stream.span_groups import group_spans
from exchange_ref.exchange import ExchangeConfig
from exchange_ref.load.arrivals import Mix
from exchange_ref.load.population import POPULATIONS
from exchange_ref.run import History, RunOptions, new_event_loop, run_until
from exchange_ref.scenario.span_rows import SpanRows
from exchange_ref.telemetry.outputs import Exporters

S = 1_000_000_000
DAY_NS = 86_400 * S
# A pass costs 100 ms however few spans it holds. All in it count as found at once, which is the harder case.
JUDGED_PASS_NS = 900 * S
LEARNED_PASS_NS = 6 * 3_600 * S
MIX = Mix(transfer_share=0.05, cancel_share=0.02)
# An operation is called uncalibrated when it is off by more than this and chance hardly explains it.
FACTOR = 2.0
CHANCE = 0.01

_SPANS = """
SELECT
    trace_id, span_id, nullif(parent_span_id, '') AS parent_span_id, service_name, span_name AS operation,
    span_kind, start_time_unix_nano AS start_unix_nano,
    end_time_unix_nano - start_time_unix_nano AS duration_ns, status_code, '' AS status_message,
    false AS raised, attributes,
    end_time_unix_nano AS ended_unix_nano,
    service_name || chr(31) || span_name || chr(31) || span_kind AS operation_key
FROM read_parquet(?)
ORDER BY end_time_unix_nano
"""
_ANOMALIES = """
SELECT
    detector, coalesce(details ->> 'rule', '') AS rule, severity, service_name, operation, sigma,
    observed, expected, unit, details ->> 'text' AS said, epoch_ns(span_start_time) AS start_unix_nano
FROM anomalies
WHERE epoch_ns(span_start_time) >= ?
ORDER BY severity, sigma DESC
"""
_INCIDENTS = """
SELECT incident_id, kind, severity, title, anomaly_count, trace_count
FROM incidents WHERE epoch_ns(last_span_time) >= ? ORDER BY severity
"""


def record(
    target: Path, *, days: float, orders_per_hour: float, rate: float, traders: str, seed: int
) -> None:
    """Execute so many days of orders now and write their dated spans."""
    with tempfile.TemporaryDirectory(prefix="exchange-") as folder:
        options = RunOptions(
            ExchangeConfig(Path(folder), price_seed=seed),
            otlp=None,
            rate_per_s=rate,
            seed=seed,
            history=History(days * 86_400, orders_per_hour),
            span_queue=200_000,
            mix=MIX,
            population=POPULATIONS[traders],
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            report = runner.run(run_until(options, Exporters(SpanRows(target)), lambda _: None))
        assert report["spans_dropped"] == 0, report


def pass_numbers(ended: IntArray, judged_from: int) -> IntArray:
    """The pass of each span, from 1 without gaps: long ones while learning, shorter while judging."""
    width = np.where(ended < judged_from, LEARNED_PASS_NS, JUDGED_PASS_NS)
    starts = (ended - judged_from) // width * width
    return np.unique(starts, return_inverse=True)[1].astype(np.int64) + 1


def spread(spans: pa.Table) -> pa.Table:
    """Every trace at the moment of another one, drawn at random.

    Traces are executed some milliseconds apart and dated 15 s apart, so that a stall of 100 ms, which meets
    20 traces, would become five minutes in which all is slow, and a colleague's compiler the worst day of the
    exchange. Traces that are dated 15 s apart would have met stalls one by one, which is what drawing
    restores. Traces stay whole, and the rhythm of the days stays as it was.
    """
    began, roots = _beginnings(spans)
    drawn = np.random.default_rng(3).permutation(roots)
    return _moved(spans, began, drawn - roots)


def days_mixed(spans: pa.Table) -> pa.Table:
    """Each hour of the day, whole, on another day: what else the machine did meets all days alike."""
    began, roots = _beginnings(spans)
    back_ns = roots.max() - roots
    days, hours = back_ns // DAY_NS, back_ns % DAY_NS // (3_600 * S)
    rng = np.random.default_rng(3)
    places = np.array([rng.permutation(int(days.max()) + 1) for _ in range(24)])
    return _moved(spans, began, (days - places[hours, days]) * DAY_NS)


def _beginnings(spans: pa.Table) -> tuple[pa.ChunkedArray, IntArray]:
    """(trace ids, when each trace began), in an order that each run repeats."""
    began = spans.group_by("trace_id").aggregate([("start_unix_nano", "min")]).sort_by("trace_id")
    return began["trace_id"], began["start_unix_nano_min"].to_numpy()


def _moved(spans: pa.Table, trace_ids: pa.ChunkedArray, shift_ns: IntArray) -> pa.Table:
    joined = spans.join(pa.table({"trace_id": trace_ids, "shift": shift_ns}), "trace_id")
    for name in ("start_unix_nano", "ended_unix_nano"):
        position = joined.schema.get_field_index(name)
        joined = joined.set_column(position, name, pc.add(joined[name], joined["shift"]))
    return joined.drop_columns("shift").sort_by("ended_unix_nano")


def executed(spans: pa.Table) -> pa.Table:
    """As it was executed: what the machine met stays together, stretched with the time."""
    return spans


ORDERS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "spread": spread,
    "days-mixed": days_mixed,
    "executed": executed,
}


def recorded(path: Path, order: str) -> tuple[pa.Table, int]:
    """(spans in the order in which they ended, where the last 24 hours begin)."""
    spans = duckdb.connect().sql(_SPANS, params=[str(path)]).to_arrow_table()
    spans = ORDERS[order](spans)
    return spans, int(spans["ended_unix_nano"][-1].as_py()) - DAY_NS


def judge(path: Path, order: str) -> dict[str, Any]:
    """Learn all but the last 24 hours of the recorded spans, judge those."""
    spans, judged_from = recorded(path, order)
    ended = spans["ended_unix_nano"].to_numpy()
    numbers = pass_numbers(ended, judged_from)
    settings = Settings()
    baselines = Baselines(settings)
    began_s = time.process_time()
    with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
        store = Store.open(Path(folder))
        try:
            with store.transaction() as con:
                con.register("replayed_spans", spans.append_column("batch_id", pa.array(numbers)))
                con.execute(load_sql("datasets.evaluate.queries", "replay_spans"))
                con.unregister("replayed_spans")
            detection = Detection(store, baselines, settings, int(ended[0]) / S)
            learner = Learner(store, baselines, settings, lambda: detection)
            lasts = np.flatnonzero(np.r_[numbers[1:] != numbers[:-1], True])
            for number, row in enumerate(lasts.tolist(), start=1):
                now_ns = int(ended[row])
                detection.judge(number - 1, number, now_ns / S, now_ns)
                if now_ns < judged_from:
                    settled_ns = now_ns + int(settings.detect_learn_delay_s * S)
                    learner.take(detection.detectors.waits_to_learn(now_ns / S), settled_ns)
                    learner.learn(number, settled_ns)
            found = store.read(_ANOMALIES, [judged_from]).to_pylist()
            incidents = store.read(_INCIDENTS, [judged_from]).to_pylist()
        finally:
            store.close()
        judged = spans.filter(pa.array(ended >= judged_from))
        shares = calibration(judged, baselines)
    return {
        "learned_spans": int((ended < judged_from).sum()),
        "judged_spans": judged.num_rows,
        "cpu_s": round(time.process_time() - began_s, 1),
        **shares,
        **raised(found, incidents, judged_from),
    }


def judge_shares(path: Path, order: str) -> dict[str, Any]:
    """The shares beyond 3σ alone, in seconds: everything before is learned in one go, nothing is flagged."""
    spans, judged_from = recorded(path, order)
    late = pc.greater_equal(spans["ended_unix_nano"], judged_from)
    learned = spans.filter(pc.invert(late))
    for name in ("is_new", "flagged", "in_incident"):
        learned = learned.append_column(name, pa.array(np.full(learned.num_rows, name == "is_new")))
    baselines = Baselines(Settings())
    baselines.add(learn_times(learned))
    judged = spans.filter(late)
    return {
        "learned_spans": learned.num_rows,
        "judged_spans": judged.num_rows,
        **calibration(judged, baselines),
    }


def calibration(judged: pa.Table, baselines: Baselines) -> dict[str, Any]:
    """Shares beyond 3σ of the judged spans, without the minimum effect that an anomaly needs."""
    groups = group_spans(judged, baselines.duration)
    duration = judged["duration_ns"].to_numpy()
    sigma: FloatArray = np.full(judged.num_rows, np.nan)
    for number, model in enumerate(groups.models):
        if model is not None:
            own = groups.group_of == number
            sigma[own] = model.tail.sigma(duration[own])
    scored = np.isfinite(sigma)
    if not scored.any():
        raise SystemExit("no judged span has a baseline to be compared with; record more orders or days")
    by_operation = []
    names = np.array([" ".join(operation) for operation in groups.operations], dtype=object)
    keys = names[groups.group_of]
    for key in np.unique(keys[scored]):
        own = scored & (keys == key)
        by_operation.append(_share(key, sigma[own]))
    # How much of it is a stall that hit all that was under way.
    beyond = judged["start_unix_nano"].to_numpy()[scored & (sigma >= 3)]
    moments = len(np.unique(beyond // (S // 2)))
    return {
        "overall": _share("all", sigma[scored]),
        "moments_beyond": moments,
        "operations": len(by_operation),
        "uncalibrated": [row for row in by_operation if not row["calibrated"]],
        "by_operation": sorted(by_operation, key=lambda row: -row["ratio"]),
    }


def _share(name: str, sigma: FloatArray) -> dict[str, Any]:
    count, beyond = len(sigma), int((sigma >= 3).sum())
    ideal = THREE_SIGMA_P * count
    ratio = beyond / ideal
    # Could the true share lie within the factor?
    too_many = poisson.sf(beyond - 1, FACTOR * ideal) < CHANCE
    too_few = poisson.cdf(beyond, ideal / FACTOR) < CHANCE
    return {
        "operation": name,
        "spans": count,
        "beyond_3_sigma": beyond,
        "ratio": round(ratio, 2),
        "ratio_4_sigma": round(float((sigma >= 4).mean()) / 3.1671e-5, 2),
        "calibrated": not (too_many or too_few),
    }


def raised(found: list[dict[str, Any]], incidents: list[dict[str, Any]], judged_from: int) -> dict[str, Any]:
    """Anomalies and incidents of 24 hours without a fault."""
    counted: dict[str, int] = {}
    hours: dict[int, int] = {}
    whales = 0
    for row in found:
        if row["detector"] == AMOUNT:
            whales += 1  # whales are a part of the mixed population, and found is what they should be
            continue
        what = " ".join(filter(None, (row["detector"], row["rule"], f"SEV{row['severity']}")))
        counted[what] = counted.get(what, 0) + 1
        hour = (row["start_unix_nano"] - judged_from) // (3_600 * S)
        hours[hour] = hours.get(hour, 0) + 1
    return {
        "anomalies_an_hour": round(sum(counted.values()) / 24, 2),
        "worst_hour": max(hours.values(), default=0),
        "hours_with_anomalies": len(hours),
        "anomalies_by_kind": dict(sorted(counted.items())),
        "whales": whales,
        "incidents": [row for row in incidents if row["kind"] != AMOUNT],
        "examples": [
            f"SEV{row['severity']} {row['detector']} {row['service_name']} {row['operation']} "
            f"{row['sigma']:.1f}σ {row['said'] or ''} {row['observed']:.4g} (usually {row['expected']:.4g}) "
            f"{row['unit']}"
            for row in [row for row in found if row["detector"] != AMOUNT][:20]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--days", type=float, default=3.0, help="to learn, before the one that is judged")
    parser.add_argument("--orders-per-hour", type=float, default=250.0)
    parser.add_argument("--rate", type=float, default=200.0, help="orders a second while they are executed")
    parser.add_argument("--traders", choices=sorted(POPULATIONS), default="mixed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--record", type=Path, help="keep the spans in this Parquet file")
    parser.add_argument("--spans", type=Path, help="judge the spans of this file instead of new ones")
    parser.add_argument("--shares-only", action="store_true", help="σ of spans, without any detector")
    parser.add_argument("--order", choices=sorted(ORDERS), default="spread", help="which trace is dated when")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.spans or given.record or Path(folder) / "spans.parquet"
        if given.spans is None:
            record(
                path,
                days=given.days + 1,
                orders_per_hour=given.orders_per_hour,
                rate=given.rate,
                traders=given.traders,
                seed=given.seed,
            )
        found = (judge_shares if given.shares_only else judge)(path, given.order)
    result = {"traders": given.traders, "ideal": THREE_SIGMA_P, **found}
    result["machine"] = {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    result["versions"] = {name: version(name) for name in ("duckdb", "pyarrow", "numpy", "scipy")}
    if given.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        if isinstance(value, list):
            print(f"{name}:", *(f"\n  {row}" for row in value))
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
