"""Labelled folders of systems unlike the exchange, on which nothing of detection is tuned.

- `fan_out`: a search of 200 shards, each a client and a server span, that returns early once enough have
  answered; how many shards a query needs varies.
- `batch`: a pipeline over queues whose stages take seconds to minutes and begin long after their message.
- `agents`: a language model in a loop of variable depth that picks tools as it goes: open-ended structure.

Each writes usual traces, then test traces of which one in twelve has one of five kinds of faults:

    uv run python -m tests.datasets.evaluate.systems fan_out OUT [--seed N] [--baseline 1500] [--test 1200]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_NS = 1_790_000_000 * 10**9
FAULT_EVERY = 12
SPANS = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("trace_id", "span_id", "parent_span_id", "service_name", "span_name")
        ),
        *((name, pa.string()) for name in ("span_kind", "status_code", "attributes", "split", "case_id")),
        ("start_time_unix_nano", pa.int64()),
        ("end_time_unix_nano", pa.int64()),
    ]
)


@dataclass
class Span:
    """One span and what it calls; times in ms from the trace's begin."""

    service: str
    name: str
    kind: str
    begin: float
    length: float
    children: list[Span] = field(default_factory=list)
    failed: bool = False
    attributes: dict[str, object] = field(default_factory=dict)

    @property
    def end(self) -> float:
        return self.begin + self.length


# (random numbers, kind of fault or None) → (root span, service that is at fault)
System = Callable[[np.random.Generator, str | None], tuple[Span, str]]


def around(rng: np.random.Generator, median_ms: float, log_sd: float) -> float:
    return float(median_ms * np.exp(log_sd * rng.standard_normal()))


FAN_OUT = ("slow shard", "slow merge", "no cache", "shard fails", "skips ranking")


def fan_out(rng: np.random.Generator, fault: str | None, shards: int = 200) -> tuple[Span, str]:
    """gateway → search → cache, shards in parallel until 70 to 100% have answered, ranking."""
    root = Span("gateway", "GET /search", "SERVER", 0, 0)
    search = Span("search", "search", "SERVER", 0.5, 0)
    root.children.append(search)
    at = 1.0
    if fault != "no cache":
        search.children.append(Span("search", "GET", "CLIENT", at, around(rng, 0.6, 0.3)))
        at = search.children[-1].end
    asked = np.sort(rng.choice(shards, int(shards * rng.uniform(0.5, 1)), replace=False))
    lengths = 6 * np.exp(0.35 * rng.standard_normal(len(asked)))
    odd = int(rng.integers(len(asked)))
    if fault == "slow shard":
        lengths[odd] += 120
    answered = float(np.quantile(lengths, rng.uniform(0.7, 1.0)))
    for number, (_, length) in enumerate(zip(asked.tolist(), lengths.tolist(), strict=True)):
        if length > answered and not (fault and number == odd):
            continue  # no longer waited for, and not reported
        call = Span("search", "POST /shard", "CLIENT", at, length + around(rng, 0.4, 0.3))
        broken = fault == "shard fails" and number == odd
        call.children.append(Span("shard", "query", "SERVER", at + 0.2, length, failed=broken))
        search.children.append(call)
    at = max(child.end for child in search.children)
    merge = Span(
        "search", "merge", "INTERNAL", at, around(rng, 3, 0.2) + (40 if fault == "slow merge" else 0)
    )
    search.children.append(merge)
    at = merge.end
    if fault != "skips ranking":
        search.children.append(Span("ranking", "rank", "SERVER", at, around(rng, 9, 0.25)))
        at = search.children[-1].end
    search.length = at + around(rng, 0.5, 0.2) - search.begin
    root.length = search.end + around(rng, 0.5, 0.2)
    return root, "shard" if fault in ("slow shard", "shard fails") else "search"


BATCH = ("slow stage", "long wait", "lost stage", "repeated stage", "failed stage")


def batch(rng: np.random.Generator, fault: str | None) -> tuple[Span, str]:
    """ingest → four stages, each taken from a queue by the next after seconds; half of the files skip one."""
    short = rng.random() < 0.5
    stages = [
        ("clean", 40_000, 0.5),
        ("enrich", 90_000, 0.7),
        ("index", 15_000, 0.4),
        ("publish", 5_000, 0.3),
    ]
    stages = [stage for stage in stages if not (short and stage[0] == "enrich")]
    odd = int(rng.integers(len(stages)))
    if fault == "lost stage":
        stages = stages[:-1]  # nobody took the last message
    root = Span("ingest", "receive file", "SERVER", 0, around(rng, 300, 0.4))
    above, at = root, root.length
    for number, (name, median, log_sd) in enumerate(stages):
        hit = number == odd
        send = Span(above.service, f"{name} send", "PRODUCER", at - 4, around(rng, 2, 0.3))
        above.children.append(send)
        wait = around(rng, 1_500, 0.6) + (240_000 if fault == "long wait" and hit else 0)
        own = around(rng, median * 0.3, 0.3) * (12 if fault == "slow stage" and hit else 1)
        reads = 2 if fault == "repeated stage" and hit else 1
        work = Span(name, f"{name} process", "CONSUMER", send.end + wait, 0)
        begin = work.begin + own / 2
        for _ in range(reads):
            work.children.append(Span(name, "load", "CLIENT", begin, around(rng, median * 0.6, log_sd)))
            begin = work.children[-1].end
        work.failed = fault == "failed stage" and hit
        work.length = begin + own / 2 - work.begin
        send.children.append(work)
        above, at = work, work.end
    return root, stages[min(odd, len(stages) - 1)][0]


AGENTS = ("slow tool", "slow model", "no guard", "tool fails", "unknown tool")
_TOOLS = ("search", "calculator", "browser", "files", "calendar", "mail")


def agents(rng: np.random.Generator, fault: str | None) -> tuple[Span, str]:
    """chat → guard, then 1 to 12 rounds of a model and zero to three tools, guard again."""
    root = Span("assistant", "chat", "SERVER", 0, 0)
    agent = Span("agent", "invoke_agent", "INTERNAL", 5, 0)
    root.children.append(agent)
    at = agent.begin + 2
    rounds = 1 + min(int(rng.geometric(0.3)), 11)
    odd = int(rng.integers(rounds))
    usable = rng.permutation(_TOOLS)[: int(rng.integers(2, 6))]
    if fault != "no guard":
        agent.children.append(Span("guard", "check", "CLIENT", at, around(rng, 40, 0.3)))
        at = agent.children[-1].end
    for number in range(rounds):
        hit = number == odd
        length = around(rng, 1_800, 0.6) * (1 if fault != "slow model" or not hit else 14)
        agent.children.append(Span("model", "chat", "CLIENT", at, length))
        at = agent.children[-1].end
        wanted = max(int(rng.integers(0, 4)), 1 if hit else 0)
        for place in range(wanted):
            name = str(rng.choice(usable))
            broken = hit and place == 0
            if broken and fault == "unknown tool":
                name = "shell"
            took = around(rng, 60 if name == "calculator" else 350, 0.5)
            took = took * 25 if broken and fault == "slow tool" else took
            tool = Span("tools", f"execute_tool {name}", "INTERNAL", at, took)
            tool.failed = broken and fault == "tool fails"
            agent.children.append(tool)
            at = tool.end
    agent.length = at + around(rng, 3, 0.3) - agent.begin
    root.length = agent.end + around(rng, 4, 0.3)
    return root, {"slow model": "model", "no guard": "agent"}.get(fault or "", "tools")


SYSTEMS: dict[str, tuple[System, tuple[str, ...], float]] = {
    "fan_out": (fan_out, FAN_OUT, 2.0),
    "batch": (batch, BATCH, 60.0),
    "agents": (agents, AGENTS, 5.0),
}


def write_system(path: Path, name: str, *, seed: int = 0, baseline: int = 1_500, test: int = 1_200) -> Path:
    """Write the folder of one system: so many usual traces, then so many to judge."""
    system, faults, every_s = SYSTEMS[name]
    rng = np.random.default_rng([seed, len(name)])
    rows: list[dict[str, object]] = []
    cases, labels = [], []
    for number in range(baseline + test):
        judged = number >= baseline
        hit = judged and number % FAULT_EVERY == 0
        fault = faults[number // FAULT_EVERY % len(faults)] if hit else None
        root, culprit = system(rng, fault)
        trace_id = f"{number:032x}"
        begin = START_NS + int(number * every_s * 1e9)
        case_id = f"case {number}" if fault else None
        common = {"trace_id": trace_id, "split": "test" if judged else "baseline", "case_id": case_id}
        rows += span_rows(root, common, begin)
        if judged:
            labels.append({"trace_id": trace_id, "anomalous": hit})
        if fault:
            cases.append(
                {
                    "case_id": case_id,
                    "fault_kind": fault,
                    "root_services": [culprit],
                    "root_operation": None,
                    "inject_time_unix_nano": begin,
                }
            )
    write_folder(path, rows, labels, cases)
    return path


def write_folder(
    path: Path,
    rows: list[dict[str, object]],
    labels: list[dict[str, object]],
    cases: list[dict[str, object]],
) -> None:
    path.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SPANS), path / "spans.parquet")
    pq.write_table(pa.Table.from_pylist(labels), path / "trace_labels.parquet")
    (path / "cases.json").write_text(json.dumps(cases))


def span_rows(root: Span, common: dict[str, str | None], begin: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    pending = [(root, "")]
    while pending:
        span, parent = pending.pop()
        span_id = f"{begin // 1_000_000:x}{len(rows):05x}"
        start = begin + int(span.begin * 1e6)
        rows.append(
            {
                **common,
                "span_id": span_id,
                "parent_span_id": parent,
                "service_name": span.service,
                "span_name": span.name,
                "span_kind": span.kind,
                "status_code": "ERROR" if span.failed else "UNSET",
                "attributes": json.dumps(span.attributes) if span.attributes else None,
                "start_time_unix_nano": start,
                "end_time_unix_nano": start + int(span.length * 1e6),
            }
        )
        pending += [(child, span_id) for child in span.children]
    return rows


def folder_parser(page: str | None, names: Collection[str]) -> argparse.ArgumentParser:
    """The arguments that all writers of folders take: which one of `names`, where to, and a seed."""
    parser = argparse.ArgumentParser(description=(page or "").split("\n")[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main() -> None:
    parser = folder_parser(__doc__, SYSTEMS)
    parser.add_argument("--baseline", type=int, default=1_500)
    parser.add_argument("--test", type=int, default=1_200)
    given = parser.parse_args()
    write_system(given.out, given.name, seed=given.seed, baseline=given.baseline, test=given.test)


if __name__ == "__main__":
    main()
