"""Writes labelled folders of systems that are plans of calls.

A fault changes the plan of the requests that it meets, so callers wait for their callees as they really do.
Each folder has ten minutes to learn from (or as many as the system has), then an episode of a minute of each
fault with two quiet minutes before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.datasets.evaluate.systems import START_NS, Span, folder_parser, span_rows, write_folder

_EPISODE_S, _BETWEEN_S = 60, 150


@dataclass
class Call:
    """One operation that takes `own_ms` by itself and makes its calls one after the other, or all at once."""

    service: str
    name: str
    kind: str = "SERVER"
    own_ms: float = 1.0
    calls: list[Call] = field(default_factory=list)
    at_once: bool = False
    failed: bool = False
    wait_ms: float = 0.2  # before it begins: the network, or a queue
    attributes: dict[str, object] = field(default_factory=dict)


Rng = np.random.Generator
System = Callable[[Rng, float], Call]  # (random numbers, seconds since the begin) → a request
# (random numbers, a request, the culprit, seconds since the episode began): changes the request by a fault;
# whether it was met.
Spoiler = Callable[[Rng, Call, str, float], bool]


@dataclass
class Stranger:
    """A system, how many requests a second it takes, and whom the faults meet.

    rate: requests a second at a time.
    culprit: the service that is at fault; caller: who calls it, and is at fault when it no longer does.
    faults: one after the other.
    traced: whether the culprit has spans; the caller is blamed for one that has none.
    learned_s: seconds to learn from.
    clocks: seconds that the clock of a service is ahead.
    lost: the share of spans that are never sent; kept: the share of traces that are sampled.
    """

    request: System
    rate: Callable[[float], float]
    culprit: str
    caller: str
    faults: tuple[str, ...]
    learned_s: int = 600
    episode_s: int = _EPISODE_S
    clocks: dict[str, float] = field(default_factory=dict)
    lost: float = 0.0
    kept: float = 1.0
    traced: bool = True


def client(callee: Call, caller: str, name: str = "GET", *, host: str = "") -> Call:
    """The span that an HTTP client makes around a server's."""
    where: dict[str, object] = {"server.address": host or callee.service, "server.port": 8080}
    return Call(caller, name, "CLIENT", 0.3, [callee], attributes=where)


def again(call: Call) -> Call:
    return replace(call, calls=[again(c) for c in call.calls])


def laid_out(call: Call, begin: float) -> Span:
    """The spans of a request, in ms from its begin."""
    span = Span(
        call.service, call.name, call.kind, begin, 0.0, failed=call.failed, attributes=call.attributes
    )
    at = begin + call.own_ms / 2
    end = at
    for callee in call.calls:
        span.children.append(laid_out(callee, at + callee.wait_ms))
        if callee.kind != "CONSUMER":
            end = max(end, span.children[-1].end)
        at = at if call.at_once else max(at, end)
    span.length = end + call.own_ms / 2 - begin
    return span


def arrivals(rng: Rng, rate: Callable[[float], float], until_s: float) -> Iterator[float]:
    """Poisson arrivals at a rate that changes."""
    at_s = 0.0
    while (at_s := at_s + float(rng.exponential(1 / rate(at_s)))) < until_s:
        yield at_s


def write_named(
    page: str | None,
    systems: Mapping[str, Stranger],
    spoilers: Mapping[str, Spoiler],
    of_caller: Collection[str],
) -> None:
    """Write the system that the command line names; `page` is its help. The rest as for `write_system`."""
    parser = folder_parser(page, systems)
    parser.add_argument(
        "--quiet", type=int, default=0, metavar="SECONDS", help="nothing is wrong for so long"
    )
    given = parser.parse_args()
    system = systems[given.name]
    write_system(given.out, given.name, system, spoilers, of_caller, seed=given.seed, quiet_s=given.quiet)


def write_system(
    path: Path,
    name: str,
    system: Stranger,
    spoilers: Mapping[str, Spoiler],
    of_caller: Collection[str],
    *,
    seed: int = 0,
    quiet_s: int = 0,
) -> Path:
    """Write the folder of one system; with `quiet_s` so many seconds to judge in which nothing is wrong.

    Args:
        spoilers: by fault.
        of_caller: the faults of which the caller is the cause.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    episodes = [] if quiet_s else list(enumerate(system.faults))
    length_s = system.episode_s + _BETWEEN_S * system.episode_s // _EPISODE_S
    test_s = quiet_s or length_s * len(episodes) + system.episode_s
    until_ns = START_NS + (system.learned_s + test_s) * 10**9
    rows: list[dict[str, object]] = []
    labels: list[dict[str, object]] = []
    for number, at in enumerate(arrivals(rng, system.rate, system.learned_s + test_s)):
        at_s = at - system.learned_s
        call = system.request(rng, at)
        which = int(at_s // length_s) if 0 <= at_s < length_s * len(episodes) else -1
        fault = episodes[which][1] if which >= 0 and at_s % length_s >= length_s - system.episode_s else None
        odd = False
        if fault:
            into_s = at_s % length_s - (length_s - system.episode_s)
            odd = spoilers[fault](rng, call, system.culprit, into_s)
        if rng.random() >= system.kept:
            continue
        trace_id = f"{number:032x}"
        common = {
            "trace_id": trace_id,
            "split": "test" if at_s >= 0 else "baseline",
            "case_id": fault if odd else None,
        }
        for row in span_rows(laid_out(call, 0.0), common, START_NS + int(at * 1e9)):
            ahead = int(system.clocks.get(str(row["service_name"]), 0.0) * 1e9)
            row["start_time_unix_nano"] += ahead  # type: ignore[operator]
            row["end_time_unix_nano"] += ahead  # type: ignore[operator]
            # What ends after the recording has not been recorded, however long a queue is.
            recorded = row["end_time_unix_nano"] <= until_ns + ahead  # type: ignore[operator]
            if recorded and rng.random() >= system.lost:
                rows.append(row)
        if at_s >= 0:
            labels.append({"trace_id": trace_id, "anomalous": odd})
    begins = {
        kind: START_NS + (system.learned_s + length_s * (place + 1) - system.episode_s) * 10**9
        for place, kind in episodes
    }
    present = {row["case_id"] for row in rows}
    cases: list[dict[str, object]] = [
        {
            "case_id": kind,
            "fault_kind": kind,
            "root_services": [system.culprit if system.traced and kind not in of_caller else system.caller],
            "root_operation": None,
            "inject_time_unix_nano": begin,
        }
        for kind, begin in begins.items()
        if kind in present
    ]
    write_folder(path, rows, labels, cases)
    return path
