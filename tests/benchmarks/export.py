"""Exports of many examples: time and memory of `spyhop export --format all`, and of each format by itself.

uv run python tests/benchmarks/export.py [--examples 100000] [--json]

Each explanation has figures of its own and one of 600 services; three in ten were corrected. The server runs
in another process; CPU is that of the export with its second process, memory the largest resident size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from collector.store.store import Store
from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from llm.service import Explainer
from llm.settings import Settings
from tests.llm.support import Shop, fill_slow_shop

# Multiplies one explanation: another service and other figures in each.
MULTIPLY = """
INSERT INTO explanations
SELECT * EXCLUDE (n) REPLACE (
    printf('%032x', n) AS explanation_id, 'in' || n AS subject_id, 'in' || n AS group_id,
    make_timestamp_ns(epoch_ns(created_at) + n * 1000000) AS created_at,
    vary(summary, n) AS summary, vary(root_causes::VARCHAR, n)::JSON AS root_causes,
    vary(evidence::VARCHAR, n)::JSON AS evidence, vary(context::VARCHAR, n)::JSON AS context)
FROM explanations, range(1, ?) AS r(n)
"""
VARY = """
CREATE TEMP MACRO vary(text, n) AS replace(replace(text, 'checkout', 'shop-' || chr(97 + (n % 25)::INTEGER)
    || chr(97 + (n // 25 % 24)::INTEGER)), '152 ms', (150 + n % 8000) || ' ms')
"""
JUDGE = """
INSERT INTO feedback_events
SELECT printf('%032x', row_number() OVER ()), 1, explanation_id, created_at, 'ann',
       if(is_corrected, 'down', 'up'), if(is_corrected, 'wrong', 'right'),
       if(is_corrected, json_object('root_service', 'db', 'summary', summary), NULL), [], NULL, 5.0, false
FROM (SELECT *, hash(explanation_id) % 10 < 3 AS is_corrected FROM explanations)
"""


def fill(folder: Path, examples: int) -> None:
    store = Store.open(folder)
    fill_slow_shop(Shop(store))
    explained = Explainer(store, Settings(llm_base_url=None, llm_model=None)).analyse(
        Subject(kind="incident", id="in-slow")
    )
    FeedbackBook(store).record(Feedback(explanation_id=explained.explanation_id, verdict="right"))
    with store.transaction() as connection:
        connection.execute("DELETE FROM feedback_events")
        connection.execute(VARY)
        connection.execute(MULTIPLY, [examples])
        connection.execute(JUDGE)
    store.close()


def spyhop(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "spyhop", *arguments], text=True, **options)


def children(pid: int) -> list[int]:
    """The processes that it started."""
    try:
        listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for line in listed for child in line]


def export(api: str, name: str, out: Path) -> dict[str, float]:
    started = time.perf_counter()
    process = spyhop("export", "--format", name, "--out", str(out), "--api", api, stdout=subprocess.DEVNULL)
    largest_kib: dict[int, int] = {}
    cpu_s: dict[int, float] = {}
    while process.poll() is None:
        for pid in (process.pid, *children(process.pid)):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            for line in lines:
                if line.startswith("VmHWM"):
                    largest_kib[pid] = int(line.split()[1])
            cpu_s[pid] = (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
        threading.Event().wait(0.2)
    if process.wait():
        raise SystemExit(f"the export of {name} failed")
    size = sum(path.stat().st_size for path in out.rglob("*.jsonl"))
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(sum(cpu_s.values()), 1),
        "resident_mib": round(largest_kib.get(process.pid, 0) / 1024, 1),
        "resident_with_second_process_mib": round(sum(largest_kib.values()) / 1024, 1),
        "rows_mib": round(size / 2**20, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument(
        "--formats", default="all", help="each of these in a run of its own, e.g. all trl-sft"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        fill(data, options.examples)
        server = spyhop(
            "--stop-with-parent", "serve", "--data", str(data), "--otlp-grpc", "127.0.0.1:0",
            "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        address = next(line.split()[-1] for line in lines if line.startswith("HTTP API"))
        try:
            api = address if address.startswith("http") else f"http://{address}"
            found = {name: export(api, name, Path(folder) / name) for name in options.formats.split()}
        finally:
            server.terminate()
            server.wait(timeout=60)
    figures = {"examples": options.examples, "load": os.getloadavg()[0], "exports": found}
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
