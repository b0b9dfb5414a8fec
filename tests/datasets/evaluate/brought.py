"""Five systems of other shapes, with faults of other shapes: see `brought_faults`.

- `sidecars`: a mesh in which two proxies double each call; requests of three regions.
- `functions`: a serverless fan-out with cold starts, no server spans and no kinds.
- `erp`: an old monolith of three hundred operations, most called less than once a minute, five tenants and a
  job each minute.
- `php`: short services of which one trace in ten is kept.
- `defaults`: unnamed services, no statuses (exceptions alone), a host whose clock is 80 ms ahead.

    uv run python -m tests.datasets.evaluate.brought erp OUT [--seed N] [--quiet SECONDS]
"""

from __future__ import annotations

from tests.datasets.evaluate.brought_faults import FAULTS, OF_CALLER
from tests.datasets.evaluate.call_plans import Call, Rng, Stranger, write_named
from tests.datasets.evaluate.systems import around

_SCREENS = 300
_SHARES = [1 / (number + 3) for number in range(_SCREENS)]
_REGIONS = {"eu": 0.5, "us": 0.35, "ap": 0.15}
_TENANTS = ("acme", "bolt", "core", "dune", "echo")


def _hop(callee: Call, caller: str) -> Call:
    """A call through both sidecars."""
    name = f"{callee.service}:8080/*"
    inner = Call(f"{callee.service}.mesh", name, "SERVER", 0.4, [callee])
    outer = Call(f"{caller}.mesh", name, "CLIENT", 0.3, [inner])
    return Call(caller, "GET", "CLIENT", 0.2, [outer], attributes={"server.address": callee.service})


def _sidecars(rng: Rng, at_s: float) -> Call:
    select = Call("inventory", "SELECT", "CLIENT", around(rng, 4, 0.4))
    stock = Call("inventory", "GET /stock/{id}", "SERVER", around(rng, 3, 0.3), [select])
    price = Call("pricing", "GET /price", "SERVER", around(rng, 5, 0.5))
    asks = [_hop(stock, "product"), _hop(price, "product")]
    calls = [_hop(Call("product", "GET /product/{id}", "SERVER", around(rng, 2, 0.3), asks), "edge")]
    if rng.random() < 0.6:
        calls.append(_hop(Call("recommend", "GET /similar", "SERVER", around(rng, 25, 0.6)), "edge"))
    region = str(rng.choice(list(_REGIONS), p=list(_REGIONS.values())))
    where: dict[str, object] = {"cloud.region": region}
    return Call("edge", "GET /p/{id}", "SERVER", around(rng, 2, 0.3), calls, attributes=where)


def _function(rng: Rng, name: str, ms: float, calls: list[Call]) -> Call:
    cold = [Call(name, "init", "INTERNAL", around(rng, 1_800, 0.3))] if rng.random() < 0.04 else []
    return Call(name, name, "INTERNAL", around(rng, ms, 0.4), [*cold, *calls])


def _functions(rng: Rng, at_s: float) -> Call:
    puts = [Call("resize", "S3.PutObject", "CLIENT", around(rng, 30, 0.5)) for _ in range(rng.integers(3, 9))]
    parts = [_function(rng, "resize", 150, [put]) for put in puts]
    scatter = Call("split", "fan out", "INTERNAL", 1, parts, at_once=True)
    item = Call("index", "DynamoDB.PutItem", "CLIENT", around(rng, 7, 0.4))
    get = Call("split", "S3.GetObject", "CLIENT", around(rng, 40, 0.5))
    return _function(rng, "split", 25, [get, scatter, _function(rng, "index", 40, [item])])


def _erp(rng: Rng, at_s: float) -> Call:
    if at_s % 60 < 0.6:
        rows = [Call("erp", "UPDATE", "CLIENT", around(rng, 12, 0.4)) for _ in range(20)]
        return Call("erp", "job:reindex", "INTERNAL", around(rng, 400, 0.2), rows)
    screen = int(rng.choice(_SCREENS, p=[share / sum(_SHARES) for share in _SHARES]))
    calls = [
        Call("erp", f"SELECT t{(screen + k) % 40}", "CLIENT", around(rng, 2 + (screen + k) % 7, 0.5))
        for k in range(1 + screen % 4)
    ]
    if screen % 10 == 0:
        mail = Call("smtp", "send", "SERVER", around(rng, 30, 0.4))
        calls.append(Call("erp", "smtp send", "CLIENT", 0.5, [mail], attributes={"server.address": "smtp"}))
    ms = around(rng, 5 + (screen * 37) % 90, 0.5)
    whose: dict[str, object] = {"tenant": str(rng.choice(_TENANTS))}
    name = f"/screen/{chr(97 + screen % 26)}{chr(97 + screen // 26)}"
    return Call("erp", name, "SERVER", ms, calls, attributes=whose)


def _php(rng: Rng, at_s: float) -> Call:
    calls = [Call("blog", "Memcached::get", "INTERNAL", around(rng, 0.4, 0.4))]
    calls += [Call("blog", "PDO::query", "INTERNAL", around(rng, 3, 0.6)) for _ in range(rng.integers(2, 7))]
    if rng.random() < 0.3:
        store = Call("billing", "activerecord", "INTERNAL", around(rng, 5, 0.5))
        charge = Call("billing", "POST /charge", "SERVER", around(rng, 40, 0.5), [store])
        where: dict[str, object] = {"server.address": "billing"}
        calls.append(Call("blog", "curl_exec", "CLIENT", 0.4, [charge], attributes=where))
    return Call("blog", "index.php", "SERVER", around(rng, 20, 0.5), calls)


def _defaults(rng: Rng, at_s: float) -> Call:
    lookup = Call("unknown_service:ruby", "lookup", "INTERNAL", around(rng, 6, 0.5))
    score = Call("unknown_service:python", "score", "INTERNAL", around(rng, 30, 0.5), [lookup])
    render = Call("unknown_service:node", "render", "INTERNAL", around(rng, 4, 0.4))
    calls = [score, render]
    return Call("unknown_service:node", "handle request", "INTERNAL", around(rng, 2, 0.3), calls)


_COMMON = ("slow", "heavy", "failing", "structure", "leak", "deploy")
BROUGHT: dict[str, Stranger] = {
    "sidecars": Stranger(
        _sidecars, lambda _: 3.0, "inventory", "product", (*_COMMON, "missing", "storm", "dead", "region")
    ),
    "functions": Stranger(_functions, lambda _: 1.5, "resize", "split", _COMMON),
    "erp": Stranger(_erp, lambda _: 5.0, "erp", "erp", (*_COMMON, "tenant"), 900),
    "php": Stranger(
        _php, lambda _: 20.0, "billing", "blog",
        ("slow", "heavy", "failing", "missing", "storm", "dead", "deploy"), kept=0.1,
    ),
    "defaults": Stranger(
        _defaults, lambda _: 4.0, "unknown_service:python", "unknown_service:node",
        ("slow", "heavy", "raising", "structure", "leak", "deploy", "missing", "dead"),
        clocks={"unknown_service:python": 0.08},
    ),
}  # fmt: skip


if __name__ == "__main__":
    write_named(__doc__, BROUGHT, FAULTS, OF_CALLER)
