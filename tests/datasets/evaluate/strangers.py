"""Labelled folders of systems as strangers bring them: SDK defaults, odd names, clocks, sampling, few calls.

Fifteen systems with the faults of `usual_faults`, written by `call_plans`.

    uv run python -m tests.datasets.evaluate.strangers ids_in_names OUT [--quiet SECONDS | --everything]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.datasets.evaluate.call_plans import Call, Rng, Stranger, client, write_system
from tests.datasets.evaluate.systems import around, folder_parser
from tests.datasets.evaluate.usual_faults import USUAL_FAULTS, slow_everything


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


_ALL = tuple(USUAL_FAULTS)
STRANGERS: dict[str, Stranger] = {
    "unknown": Stranger(_unknown, _steady(4), "unknown_service:node", "unknown_service", _ALL),
    "ids_in_names": Stranger(_ids, _steady(4), "users", "front", _ALL),
    "clients": Stranger(
        _clients, _steady(5), "api.example", "app", ("slow", "errors", "skipped"), traced=False
    ),
    "web": Stranger(_web, _tide, "cart", "web", _ALL),
    "skewed": Stranger(_web, _steady(5), "cart", "web", _ALL, clocks={"cart": 3.0, "stock": -40.0}),
    "lossy": Stranger(_web, _steady(5), "cart", "web", _ALL, lost=0.1),
    "sampled": Stranger(_web, _steady(60), "cart", "web", _ALL, kept=0.02),
    "sparse": Stranger(_sparse, _steady(3 / 60), "worker-1", "api-1", ("slow", "dead"), 3_600, 900),
    "young": Stranger(_web, _steady(5), "cart", "web", _ALL, learned_s=300),
    "lambda": Stranger(_lambda, _steady(3), "thumbs", "upload", _ALL),
    "cron": Stranger(_cron, _steady(5), "cart", "web", _ALL),
    "heavy": Stranger(_heavy, _steady(6), "data", "graph", _ALL),
    "fan": Stranger(_fan, _steady(1.5), "shard", "search", _ALL),
    "queues": Stranger(_queues, _steady(1), "encode", "intake", ("slow", "errors", "skipped"), 1_800, 300),
    "agent": Stranger(_agent, _steady(1.5), "tools", "agent", ("slow", "errors", "skipped"), 900, 120),
}


def main() -> None:
    parser = folder_parser(__doc__, STRANGERS)
    parser.add_argument(
        "--quiet", type=int, default=0, metavar="SECONDS", help="nothing is wrong for so long"
    )
    parser.add_argument("--everything", action="store_true", help="one fault: all of it is slower at once")
    given = parser.parse_args()
    system = STRANGERS[given.name]
    write_system(
        given.out,
        given.name,
        replace(system, faults=("everything",)) if given.everything else system,
        {**USUAL_FAULTS, "everything": slow_everything},
        ("skipped",),
        seed=given.seed,
        quiet_s=given.quiet,
    )


if __name__ == "__main__":
    main()
