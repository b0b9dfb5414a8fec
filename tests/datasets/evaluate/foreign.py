"""Four further systems, with faults that only a part of them meets.

- `tenants`: an API of many customers, of whom one is large and slow; faults meet one of the others.
- `meters`: devices report by traces of one span, twenty kinds of them.
- `replays`: event sourcing, a command in two seconds; each event is taken by three projections from a queue,
  and now and then hundreds of events are applied again.
- `streams`: gRPC streams of half a minute to two, and short calls beside them.

    uv run python -m tests.datasets.evaluate.foreign meters OUT [--seed N] [--quiet SECONDS]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, Stranger, client, write_named
from tests.datasets.evaluate.systems import around
from tests.datasets.evaluate.usual_faults import spoil

_KINDS = [f"POST /v1/{kind}" for kind in ("heat", "water", "power", "gas")]
_KINDS += [f"POST /v1/sensor-{number}" for number in range(16)]
_TENANTS = {"large": 0.2, "north": 0.1, "south": 0.1, **{f"t{number}": 0.06 for number in range(10)}}


def _tenants(rng: Rng, at_s: float) -> Call:
    tenant = str(rng.choice(list(_TENANTS), p=list(_TENANTS.values())))
    size = 8.0 if tenant == "large" else 1.0
    select = Call("report", "SELECT rows", "CLIENT", around(rng, 6 * size, 0.4))
    select.attributes = {"db.system.name": "postgresql", "tenant.id": tenant}
    report = Call("report", "POST /report", "SERVER", around(rng, 5 * size, 0.3), [select])
    auth = Call("auth", "POST /check", "SERVER", around(rng, 3, 0.3))
    calls = [client(auth, "api", "POST"), client(report, "api", "POST")]
    page = Call("api", "GET /v1/{tenant}/report", "SERVER", 2, calls)
    page.attributes = {"tenant.id": tenant, "http.response.status_code": 200}
    return page


def _meters(rng: Rng, at_s: float) -> Call:
    kind = str(rng.choice(_KINDS))
    ms = 4.0 + len(kind) % 7
    return Call("intake", kind, "SERVER", around(rng, ms, 0.4), attributes={"http.response.status_code": 202})


def _replays(rng: Rng, at_s: float) -> Call:
    if rng.random() < 0.02:
        applied = [
            Call("ledger", "apply event", "INTERNAL", around(rng, 0.8, 0.4))
            for _ in range(int(rng.integers(50, 300)))
        ]
        return Call("ledger", "replay account", "INTERNAL", 5, applied)
    taken = [
        Call(service, "events process", "CONSUMER", around(rng, ms, 0.4), wait_ms=around(rng, 3, 0.4))
        for service, ms in (("balances", 6), ("search", 25), ("mail", 60))
    ]
    sends = [Call("ledger", "events publish", "PRODUCER", around(rng, 1, 0.3), [one]) for one in taken]
    append = Call("ledger", "INSERT events", "CLIENT", around(rng, 4, 0.3))
    return Call("ledger", "POST /commands", "SERVER", around(rng, 4, 0.3), [append, *sends])


def _streams(rng: Rng, at_s: float) -> Call:
    if rng.random() < 0.1:
        feed = Call("feed", "quotes.Feed/Subscribe", "SERVER", around(rng, 60_000, 0.4))
        feed.attributes = {"rpc.system": "grpc", "rpc.grpc.status_code": 0}
        return Call("app", "quotes.Feed/Subscribe", "CLIENT", 5, [feed])
    price = Call("pricer", "quotes.Pricer/Price", "SERVER", around(rng, 5, 0.4))
    get = Call(
        "feed", "quotes.Feed/Get", "SERVER", 2, [Call("feed", "quotes.Pricer/Price", "CLIENT", 0.4, [price])]
    )
    return Call("app", "quotes.Feed/Get", "CLIENT", 1, [get])


def _spans(call: Call, service: str) -> Iterator[Call]:
    if call.service == service:
        yield call
    for below in call.calls:
        yield from _spans(below, service)


def of_tenant(fault: str, tenant: str = "north") -> Spoiler:
    """A usual fault that meets the requests of one customer."""

    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        return call.attributes.get("tenant.id") == tenant and spoil(rng, call, fault, culprit)

    return spoiled


def of_root(change: Callable[[Rng, Call], bool], part: str = "POST /v1/heat") -> Spoiler:
    """A change of requests of one kind."""
    return lambda rng, call, culprit, into_s: call.name == part and change(rng, call)


def slow(rng: Rng, call: Call) -> bool:
    call.own_ms *= 10
    return True


def tail(rng: Rng, call: Call) -> bool:
    """One in six takes five seconds."""
    hit = rng.random() < 1 / 6
    call.own_ms += 5_000 * hit
    return hit


def fails(rng: Rng, call: Call) -> bool:
    call.failed = bool(rng.random() < 0.4)
    return call.failed


def refuses(rng: Rng, call: Call) -> bool:
    call.attributes = {**call.attributes, "http.response.status_code": 401}
    return True


def every(change: Callable[[Rng, Call], bool]) -> Spoiler:
    """A change of all spans of the culprit."""

    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        return sum(change(rng, span) for span in _spans(call, culprit)) > 0  # all of them

    return spoiled


def stuck(rng: Rng, call: Call) -> bool:
    """Its messages wait for 1 to 12 seconds."""
    if call.kind != "CONSUMER":
        return False
    call.wait_ms = float(rng.uniform(1_000, 12_000))
    return True


def gone(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    """Nobody takes the culprit's messages."""
    hit = False
    for below in list(call.calls):
        if any(one.service == culprit and one.kind == "CONSUMER" for one in below.calls):
            below.calls, hit = [], True
    return hit


def cut(rng: Rng, call: Call) -> bool:
    """Streams end after a second, with an error."""
    if "Subscribe" not in call.name:
        return False
    call.own_ms, call.failed = around(rng, 1_000, 0.3), True
    return True


def poison(rng: Rng, call: Call) -> bool:
    return call.kind == "CONSUMER" and fails(rng, call)


FAULTS: dict[str, Spoiler] = {
    **{f"tenant_{fault}": of_tenant(fault) for fault in ("slow", "errors", "dead", "skipped", "retries")},
    "kind_slow": of_root(slow),
    "kind_tail": of_root(tail),
    "kind_fails": of_root(fails),
    "kind_refused": of_root(refuses),
    "all_slow": every(slow),
    "stuck": every(stuck),
    "gone": gone,
    "poison": every(poison),
    "tail": every(tail),
    "cut": every(cut),
    "fails": every(fails),
}
OF_CALLER = ("tenant_skipped",)
FOREIGN: dict[str, Stranger] = {
    "tenants": Stranger(
        _tenants, lambda _: 6.0, "report", "api",
        ("tenant_slow", "tenant_errors", "tenant_dead", "tenant_skipped", "tenant_retries"), 900,
    ),
    "meters": Stranger(
        _meters, lambda _: 12.0, "intake", "intake",
        ("kind_slow", "kind_tail", "kind_fails", "kind_refused", "all_slow"),
    ),
    "replays": Stranger(
        _replays, lambda _: 0.8, "search", "ledger",
        ("stuck", "gone", "poison", "all_slow", "tail"), 1_200, 120
    ),
    "streams": Stranger(
        _streams, lambda _: 4.0, "feed", "app", ("cut", "fails", "tail", "all_slow"), 900,
    ),
}  # fmt: skip


if __name__ == "__main__":
    write_named(__doc__, FOREIGN, FAULTS, OF_CALLER)
