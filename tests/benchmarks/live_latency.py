"""How long after the end of a span its anomaly is stored, on a live system with faults.

    uv run python tests/benchmarks/live_latency.py [--json] [--rate 50] [--learn 36] [--rounds 1]

A real `spyhop serve` and a real `spyhop exchange`. After the learning time comes one bounded fault after the
other. Of each anomaly: the time when its row was written, less the end of its span, and less the landing of
its span (as far as the position of landing was seen, ten times a second). Printed for each detector and rule:

- *by itself*: the span alone is improbable, so nothing but the way of the data delays it. The floor are the
  exporter's 200 ms, landing's 200 ms and detection's gathering of 300 ms, each a half of it on average.
- *together*: several spans must be seen first (`NEEDS`), and those that came before are reported with them.

What no fault explains (hiccups of a shared machine) is counted as well: it is found by the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import yaml

from collector.client import Client
from collector.errors import SpyhopError

SPYHOP = [sys.executable, "-P", "-m", "spyhop", "--stop-with-parent"]
FAULT_S, QUIET_S = 6.0, 4.0
LAST_S = 8.0  # after the last fault, for what waits
ROUND: list[dict[str, Any]] = [
    {"kind": "error_burst"},
    {"kind": "db_slow", "params": {"delay_ms": 150}},
    {"kind": "whale_order", "params": {"multiple": 400}},
    {"kind": "broker_delay", "params": {"delay_ms": 100}},
    {"kind": "gateway_delay", "params": {"delay_ms": 80}},
    {"kind": "n_plus_one"},
    {"kind": "reply_loss"},
]
POLL_S = 0.1
# What each rule must have seen, by its own formula, before it can speak at all.
NEEDS = {
    "latency": "one span",
    "latency/joined": "an incident: alone, chance would explain these",
    "amount": "one span",
    "latency/shift": "4 slow moments of 0.5 s (3 of which may be enough)",
    "latency/partial shift": "8, 16 or 32 moments of 0.5 s, of which three quarters are slow in part",
    "message_wait/partial shift": "as latency",
    "latency/faster": "15 fast moments of 16, of 0.5 s",
    "message_wait": "one message of SEV3",
    "message_wait/shift": "4 slow moments of 0.5 s",
    "error": "hits in 3 different seconds, or beyond doubt in 4 quarters of a second",
    "error/refused": "as error",
    "structure": "odd parents in 3 seconds, or in 4 quarters; for a missing call 5 s more",
    "log": "lines in 3 different seconds, or in 4 quarters",
    "throughput": "30 s of silence and 10 s for late spans",
    "market": "seconds of trades",
    "metric": "points, which come every 5 s",
}
BY_ITSELF = ("latency", "amount")

QUERY = """
CREATE TEMP TABLE found AS
SELECT
    CASE
        WHEN a.details->>'rule' IN ('shift', 'partial shift', 'faster', 'refused')
        THEN a.detector || '/' || (a.details->>'rule')
        WHEN h.span_id IS NOT NULL THEN 'latency/joined'
        ELSE a.detector
    END AS name,
    (epoch_ns(a.detected_at) - epoch_ns(a.span_start_time) - a.span_duration_ns) / 1e9 AS after_end_s,
    (epoch_ns(a.detected_at) - landed.unix_nano) / 1e9 AS after_landing_s,
    (landed.unix_nano - epoch_ns(a.span_start_time) - a.span_duration_ns) / 1e9 AS landed_after_s
FROM anomalies a
LEFT JOIN held_spans h ON h.trace_id = a.trace_id AND h.span_id = a.span_id AND a.detector = 'latency'
LEFT JOIN spans s ON s.trace_id = a.trace_id AND s.span_id = a.span_id
ASOF LEFT JOIN landed ON s.batch_id <= landed.batch_id
"""
FIGURES = """
SELECT
    name, count(*) AS anomaly_count,
    quantile_cont(after_end_s, 0.5), quantile_cont(after_end_s, 0.99), max(after_end_s),
    quantile_cont(after_landing_s, 0.5), quantile_cont(after_landing_s, 0.99), max(after_landing_s),
    quantile_cont(landed_after_s, 0.5), quantile_cont(landed_after_s, 0.99)
FROM found
GROUP BY name
ORDER BY name
"""
COLUMNS = (
    "name", "anomalies", "end_p50_s", "end_p99_s", "end_max_s",
    "landed_p50_s", "landed_p99_s", "landed_max_s", "landing_p50_s", "landing_p99_s",
)  # fmt: skip


def plan(learn_s: float, rounds: int) -> tuple[dict[str, Any], float]:
    """The exchange's schedule, and how long the run takes."""
    faults, at_s = [], learn_s
    for fault in ROUND * rounds:
        lasting = fault["kind"] != "whale_order"
        faults.append({**fault, "at_s": at_s, **({"for_s": FAULT_S} if lasting else {})})
        at_s += (FAULT_S if lasting else 1.0) + QUIET_S
    return {"seed": 7, "faults": faults}, at_s + LAST_S


class Watch:
    """When which batch had landed, and how long passes and looks at causes took."""

    def __init__(self, api: str) -> None:
        self._client = Client(api)
        self.landed: dict[int, int] = {}
        self.passes_ms: list[float] = []
        self.looks_ms: list[float] = []
        self.learning_ms: list[float] = []
        self.errors: set[str] = set()

    def look(self) -> None:
        try:
            row = self._client.sql(
                "SELECT traces_batch_id, epoch_ns(landed_at) AS unix_nano FROM landing_position"
            ).row(0, named=True)
            detection = self._client.get("/readyz")["checks"]["detection"]
        except SpyhopError as error:
            self.errors.add(str(error))
            return
        self.landed.setdefault(row["traces_batch_id"], row["unix_nano"])
        self.passes_ms.append(detection["last_pass_ms"])
        if looked := detection.get("localisation", {}).get("last_look_ms"):
            self.looks_ms.append(looked)
        self.learning_ms.append(detection.get("last_learn_ms", 0.0))
        if detection["error"]:
            self.errors.add(detection["error"])


def measure(rate: float, learn_s: float, rounds: int) -> dict[str, Any]:
    schedule, run_s = plan(learn_s, rounds)
    with tempfile.TemporaryDirectory(prefix="spyhop-live-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "faults.yaml").write_text(yaml.safe_dump(schedule), encoding="utf-8")
        data = folder / "data"
        anywhere = "127.0.0.1:0"
        server = start(
            stack, folder / "server.log", "serve", "--data", str(data),
            *(part for option in ("--otlp-grpc", "--otlp-http", "--api") for part in (option, anywhere)),
        )  # fmt: skip
        said = wait_for_line(folder / "server.log", server, "ready; stop")
        otlp, api = (re.search(rf"{word}\s+(\S+)", said)[1] for word in ("OTLP/gRPC", "HTTP API"))  # type: ignore[index]  # both are printed before "ready"
        exchange = start(
            stack, folder / "exchange.log", "exchange", "--otlp", f"http://{otlp.removeprefix('http://')}",
            "--rate", f"{rate:g}", "--faults", str(folder / "faults.yaml"),
            "--labels", str(folder / "labels.jsonl"), "--for", f"{run_s:g}s",
            "--gateway", anywhere, "--exchange-api", anywhere, "--data", str(folder / "exchange"),
        )  # fmt: skip
        watch, began_s = Watch(api), time.monotonic()
        cpu_s = cpu_seconds(server.pid)
        while exchange.poll() is None and time.monotonic() - began_s < run_s + 30:
            watch.look()
            time.sleep(POLL_S)
        wall_s, cpu_s = time.monotonic() - began_s, cpu_seconds(server.pid) - cpu_s
        time.sleep(1.5)
        watch.look()
        server.terminate()
        server.wait(30)
        rows, incidents, spans = read(data / "spyhop.duckdb", watch.landed)
        kinds = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    return {
        "orders_per_s": rate,
        "spans": spans,
        "seconds": round(wall_s, 1),
        "server_cpu_share_of_a_core": round(cpu_s / wall_s, 3),
        "faults": {label["kind"]: bool(label["impact_verified"]) for label in kinds},
        "incidents": incidents,
        "detectors": rows,
        "pass_ms": spread(watch.passes_ms),
        "look_ms": spread(watch.looks_ms),
        "learning_ms": spread(watch.learning_ms),
        "errors": sorted(watch.errors),
    }


def start(stack: ExitStack, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A child that ends with this process, whatever ends it: its input is a pipe of ours."""
    sink = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(
        [*SPYHOP, *arguments], stdin=subprocess.PIPE, stdout=sink, stderr=subprocess.STDOUT
    )
    stack.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def wait_for_line(log: Path, process: subprocess.Popen[bytes], line: str) -> str:
    for _ in range(600):
        text = log.read_text(encoding="utf-8", errors="replace")
        if line in text:
            return text
        if process.poll() is not None:
            sys.exit(f"did not start:\n{text}")
        time.sleep(0.05)
    sys.exit("did not start in 30 s")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read(database: Path, landed: dict[int, int]) -> tuple[list[dict[str, Any]], int, int]:
    """(figures of each detector, how many incidents, how many spans)."""
    with duckdb.connect(str(database), read_only=True) as con:
        con.execute("CREATE TEMP TABLE landed (batch_id BIGINT, unix_nano BIGINT)")
        con.executemany("INSERT INTO landed VALUES (?, ?)", sorted(landed.items()))
        con.execute(QUERY)
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in con.execute(FIGURES).fetchall()]
        (counts,) = con.execute(
            "SELECT (SELECT count(*) FROM incidents), (SELECT count(*) FROM spans)"
        ).fetchall()
    for row in rows:
        row |= {key: round(value, 3) for key, value in row.items() if isinstance(value, float)}
        row["by_itself"] = row["name"] in BY_ITSELF
        row["needs"] = NEEDS.get(row["name"], "")
    return rows, *counts


def spread(figures: list[float]) -> dict[str, float] | None:
    if not figures:
        return None
    ordered = sorted(figures)
    return {"median": ordered[len(ordered) // 2], "max": ordered[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=50.0, help="orders a second")
    parser.add_argument("--learn", type=float, default=36.0, help="seconds before the first fault")
    parser.add_argument("--rounds", type=int, default=1, help="how often all faults come")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    result = measure(given.rate, given.learn, given.rounds)
    if given.json:
        machine = {
            "cpus": os.cpu_count(),
            "arch": platform.machine(),
            "python": platform.python_version(),
            "load_before": load,
        }
        versions = {name: version(name) for name in ("duckdb", "pyarrow", "numpy")}
        print(json.dumps({**result, "machine": machine, "versions": versions}, indent=2))
        return
    for name, value in result.items():
        if name != "detectors":
            print(f"{name}: {value}")
    print(f"{'':16} {'n':>5}  end → row p50   p99   max   landed → row p50   p99   max")
    for row in result["detectors"]:
        figures = [row[name] for name in COLUMNS[2:8]]
        shown = "  ".join("   -  " if figure is None else f"{figure:6.2f}" for figure in figures)
        print(f"{row['name']:16} {row['anomalies']:>5}  {shown}   {row['needs']}")


if __name__ == "__main__":
    main()
