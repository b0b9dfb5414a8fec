"""Labelled folders of systems as strangers bring them: SDK defaults, odd names, clocks, sampling, few calls.

A system is a plan of calls; a fault changes the plan of the requests that it meets, so that callers wait for
their callees as they really do. Each folder has ten minutes to learn from (or as many as the system has),
then an episode of a minute of each fault with two quiet minutes around it:

- `slow`: one service takes ten times as long; `errors`: a fifth of its calls fail.
- `dead`: it does not answer, its callers are refused at once; `skipped`: it is no longer called.
- `retries`: two of three calls fail and are tried again, four times at most.

    uv run python -m tests.datasets.evaluate.strangers ids_in_names OUT [--seed N] [--quiet]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.datasets.evaluate.systems import START_NS, Span, around, folder_parser, span_rows, write_folder

FAULTS = ("slow", "errors", "dead", "skipped", "retries")
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


@dataclass
class Stranger:
    """A system, how many requests a second it takes, and whom the faults meet.

    rate: requests a second at a time.
    culprit: the service that is at fault; caller: who calls it, and is at fault when it no longer does.
    learned_s: seconds to learn from.
    clocks: seconds that the clock of a service is ahead.
    lost: the share of spans that are never sent; kept: the share of traces that are sampled.
    """

    request: System
    rate: Callable[[float], float]
    culprit: str
    caller: str
    faults: tuple[str, ...] = FAULTS
    learned_s: int = 600
    episode_s: int = _EPISODE_S
    clocks: dict[str, float] = field(default_factory=dict)
    lost: float = 0.0
    kept: float = 1.0
    kinds: bool = True


def client(callee: Call, caller: str, name: str = "GET", *, host: str = "") -> Call:
    """The span that an HTTP client makes around a server's."""
    where: dict[str, object] = {"server.address": host or callee.service, "server.port": 8080}
    return Call(caller, name, "CLIENT", 0.3, [callee], attributes=where)


def spoil(rng: Rng, call: Call, fault: str, culprit: str) -> bool:
    """Change a request by a fault; whether it was met."""
    hit = False
    kept: list[Call] = []
    for callee in call.calls:
        servers = [c.service for c in callee.calls if callee.kind == "CLIENT"]
        mine = culprit in (callee.service, callee.attributes.get("server.address"), *servers)
        mine &= call.service != culprit
        if not mine:
            below = spoil(rng, callee, fault, culprit)
            hit |= below
            kept.append(callee)
            continue
        behind = callee.calls if callee.kind == "CLIENT" else []
        server = next((c for c in behind if c.service == culprit), callee)
        if fault == "skipped":
            hit = True
            continue
        if fault == "slow":
            hit = True
            server.own_ms = server.own_ms * 10 + 1
        elif fault == "dead" and callee is not server:
            hit = True
            callee.calls, callee.own_ms, callee.failed = [], 0.4, True
        elif fault == "dead":
            hit = True
            continue
        elif rng.random() < (0.2 if fault == "errors" else 0.67):
            hit = True
            _fail(callee, server)
            kept += _tries(rng, callee) if fault == "retries" else []
        kept.append(callee)
    call.calls = kept
    if hit and fault == "dead":
        call.failed = True
    return hit


def _tries(rng: Rng, failed: Call) -> list[Call]:
    """The retries of a failed call, three at most."""
    tries: list[Call] = []
    for _ in range(3):
        tries.append(again(failed))
        if rng.random() < 0.33:
            _fail(tries[-1], server=tries[-1], failed=False)
            break
    return tries


def _fail(callee: Call, server: Call, *, failed: bool = True) -> None:
    callee.failed = server.failed = failed
    for below in callee.calls:
        below.failed = failed


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


def _unknown(rng: Rng, at_s: float) -> Call:
    """SDK defaults: all services have one name, and no kinds."""
    store = Call("unknown_service", "find", "INTERNAL", around(rng, 4, 0.3))
    price = Call("unknown_service:node", "price", "INTERNAL", around(rng, 6, 0.3))
    page = Call("unknown_service", "render", "INTERNAL", around(rng, 2, 0.3))
    return Call("unknown_service", "handle", "INTERNAL", 1, [store, price, page])


def _ids(rng: Rng, at_s: float) -> Call:
    """Span names with ids in them: no name comes twice."""
    user, order = int(rng.integers(1e6)), int(rng.integers(1e9))
    query = Call("users", f"SELECT * FROM users WHERE id = {user}", "CLIENT", around(rng, 3, 0.3))
    users = Call("users", f"GET /users/{user}", "SERVER", around(rng, 3, 0.3), [query])
    token = f"{int(rng.integers(1 << 62)):016x}"
    orders = Call("orders", f"GET /orders/{order:09d}/items/{token}", "SERVER", around(rng, 8, 0.3))
    calls = [
        client(users, "front", f"GET /users/{user}"),
        client(orders, "front", f"GET /orders/{order:09d}"),
    ]
    return Call("front", f"GET /home/{user}", "SERVER", 2, calls)


def _clients(rng: Rng, at_s: float) -> Call:
    """HTTP client spans only: browsers' and scripts' view."""
    calls = [
        Call(
            "app",
            "GET",
            "CLIENT",
            around(rng, ms, 0.3),
            attributes={"server.address": host, "server.port": 443},
        )
        for host, ms in (("auth.example", 20), ("api.example", 60), ("cdn.example", 9))
    ]
    return Call("app", "load", "INTERNAL", 3, calls)


def _web(rng: Rng, at_s: float) -> Call:
    """A shop of four services over HTTP."""
    stock = Call("stock", "POST /reserve", "SERVER", around(rng, 6, 0.4))
    cart = Call("cart", "GET /cart", "SERVER", around(rng, 3, 0.3), [client(stock, "cart", "POST")])
    pay = Call("pay", "POST /pay", "SERVER", around(rng, 15, 0.4))
    calls = [client(cart, "web")]
    if rng.random() < 0.4:
        calls.append(client(pay, "web", "POST"))
    return Call("web", "GET /checkout", "SERVER", around(rng, 2, 0.3), calls)


def _sparse(rng: Rng, at_s: float) -> Call:
    """Services that get one request a minute, of three kinds."""
    which = int(rng.integers(3))
    worker = Call(f"worker-{which}", "run", "SERVER", around(rng, 40, 0.3))
    return Call(
        f"api-{which}", f"POST /task/{'abc'[which]}", "SERVER", 3, [client(worker, f"api-{which}", "POST")]
    )


def _lambda(rng: Rng, at_s: float) -> Call:
    """Functions of which one in thirty starts cold."""

    def function(name: str, ms: float, calls: list[Call]) -> Call:
        init = [Call(name, "init", "INTERNAL", around(rng, 2_500, 0.2))] if rng.random() < 0.033 else []
        return Call(name, f"invoke {name}", "SERVER", around(rng, ms, 0.3), [*init, *calls])

    table = Call(
        "thumbs", "DynamoDB.PutItem", "CLIENT", around(rng, 8, 0.4), attributes={"rpc.service": "DynamoDB"}
    )
    thumbs = function("thumbs", 120, [table])
    meta = function("meta", 30, [])
    return function(
        "upload", 15, [client(thumbs, "upload", "Lambda.Invoke"), client(meta, "upload", "Lambda.Invoke")]
    )


def _cron(rng: Rng, at_s: float) -> Call:
    """A web service, and each minute a job of thirty calls at once."""
    if at_s % 60 < 2:
        calls = [
            client(Call("ledger", "POST /row", "SERVER", around(rng, 9, 0.3)), "nightly", "POST")
            for _ in range(30)
        ]
        return Call("nightly", "job", "INTERNAL", 5, calls, at_once=True)
    return _web(rng, at_s)


def _heavy(rng: Rng, at_s: float) -> Call:
    """One GraphQL endpoint: durations of three kinds with heavy tails, one request in 200 takes seconds."""
    kind = int(rng.choice(3, p=[0.7, 0.25, 0.05]))
    own = around(rng, (8, 60, 400)[kind], 0.5) * (float(rng.pareto(2)) + 1 if rng.random() < 0.03 else 1)
    own = own + (4_000 * rng.random() if rng.random() < 0.005 else 0)
    db = [Call("data", "resolve", "SERVER", around(rng, 4, 0.5)) for _ in range(1 + 2 * kind)]
    return Call("graph", "POST /graphql", "SERVER", own, [client(d, "graph", "POST") for d in db])


def _fan(rng: Rng, at_s: float) -> Call:
    """A search over 40 shards at once."""
    shards = [Call("shard", "query", "SERVER", around(rng, 6, 0.4)) for _ in range(int(rng.integers(25, 41)))]
    search = Call(
        "search", "search", "SERVER", 3, [client(s, "search", "POST /shard") for s in shards], at_once=True
    )
    rank = Call("rank", "rank", "SERVER", around(rng, 9, 0.3))
    search.calls = [
        Call("search", "scatter", "INTERNAL", 0.5, search.calls, at_once=True),
        client(rank, "search"),
    ]
    search.at_once = False
    return Call("gate", "GET /search", "SERVER", 1, [search])


def _queues(rng: Rng, at_s: float) -> Call:
    """Uploads that three stages work on, each taken from a queue; the second takes a minute."""
    publish = Call(
        "publish", "publish process", "CONSUMER", around(rng, 2_000, 0.3), wait_ms=around(rng, 400, 0.6)
    )
    send = Call("encode", "publish send", "PRODUCER", 2, [publish])
    store = Call("store", "PUT", "SERVER", around(rng, 300, 0.4))
    encode = Call(
        "encode", "encode process", "CONSUMER", around(rng, 60_000, 0.4), wait_ms=around(rng, 900, 0.6)
    )
    encode.calls = [client(store, "encode", "PUT"), send]
    first = Call("intake", "encode send", "PRODUCER", 2, [encode])
    return Call("intake", "POST /upload", "SERVER", around(rng, 200, 0.4), [first])


def _agent(rng: Rng, at_s: float) -> Call:
    """A model in a loop of variable depth that picks its tools."""
    calls = []
    for _ in range(1 + min(int(rng.geometric(0.3)), 11)):
        calls.append(Call("model", "chat gpt", "CLIENT", around(rng, 1_500, 0.5)))
        for _ in range(int(rng.integers(0, 3))):
            tool = str(rng.choice(["search", "files", "mail", "maths"]))
            calls.append(Call("tools", f"execute_tool {tool}", "INTERNAL", around(rng, 200, 0.4)))
    return Call("agent", "invoke_agent", "INTERNAL", 5, calls)


def _steady(per_s: float) -> Callable[[float], float]:
    return lambda at_s: per_s


def _tide(at_s: float) -> float:
    """Traffic that rises and falls threefold within twenty minutes, and doubles for a minute now and then."""
    return (5 + 3 * float(np.sin(at_s / 190))) * (2 if at_s % 700 < 60 else 1)


STRANGERS: dict[str, Stranger] = {
    "unknown": Stranger(_unknown, _steady(4), "unknown_service:node", "unknown_service"),
    "ids_in_names": Stranger(_ids, _steady(4), "users", "front"),
    "clients": Stranger(_clients, _steady(5), "api.example", "app", ("slow", "errors", "skipped")),
    "web": Stranger(_web, _tide, "cart", "web"),
    "skewed": Stranger(_web, _steady(5), "cart", "web", clocks={"cart": 3.0, "stock": -40.0}),
    "lossy": Stranger(_web, _steady(5), "cart", "web", lost=0.1),
    "sampled": Stranger(_web, _steady(60), "cart", "web", kept=0.02),
    "sparse": Stranger(_sparse, _steady(3 / 60), "worker-1", "api-1", ("slow", "dead"), 3_600, 900),
    "young": Stranger(_web, _steady(5), "cart", "web", learned_s=300),
    "lambda": Stranger(_lambda, _steady(3), "thumbs", "upload"),
    "cron": Stranger(_cron, _steady(5), "cart", "web"),
    "heavy": Stranger(_heavy, _steady(6), "data", "graph"),
    "fan": Stranger(_fan, _steady(1.5), "shard", "search"),
    "queues": Stranger(_queues, _steady(1), "encode", "intake", ("slow", "errors", "skipped"), 1_800, 300),
    "agent": Stranger(_agent, _steady(1.5), "tools", "agent", ("slow", "errors", "skipped"), 900, 120),
}


def arrivals(rng: Rng, rate: Callable[[float], float], until_s: float) -> Iterator[float]:
    """Poisson arrivals at a rate that changes."""
    at_s = 0.0
    while (at_s := at_s + float(rng.exponential(1 / rate(at_s)))) < until_s:
        yield at_s


Spoiler = Callable[[Rng, Call, str, float], bool]  # also told how many seconds the episode has lasted


def write_stranger(
    path: Path,
    name: str,
    *,
    seed: int = 0,
    quiet_s: int = 0,
    systems: Mapping[str, Stranger] = STRANGERS,
    spoilers: Mapping[str, Spoiler] | None = None,
    of_caller: Collection[str] = ("skipped",),
) -> Path:
    """Write the folder of one; with `quiet_s` so many seconds to judge in which nothing is wrong.

    Args:
        spoilers: of faults that `spoil` does not know.
        of_caller: the faults of which the caller is the cause.
    """
    system, spoilers = systems[name], spoilers or {}
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
        if fault and (spoiler := spoilers.get(fault)):
            odd = spoiler(rng, call, system.culprit, at_s % length_s - (length_s - system.episode_s))
        elif fault:
            odd = spoil(rng, call, fault, system.culprit)
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
            "root_services": [system.caller if kind in of_caller or name == "clients" else system.culprit],
            "root_operation": None,
            "inject_time_unix_nano": begin,
        }
        for kind, begin in begins.items()
        if kind in present
    ]
    write_folder(path, rows, labels, cases)
    return path


def main() -> None:
    parser = folder_parser(__doc__, STRANGERS)
    parser.add_argument(
        "--quiet", type=int, default=0, metavar="SECONDS", help="nothing is wrong for so long"
    )
    given = parser.parse_args()
    write_stranger(given.out, given.name, seed=given.seed, quiet_s=given.quiet)


if __name__ == "__main__":
    main()
