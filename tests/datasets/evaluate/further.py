"""Five further systems, on which nothing was tuned, with faults of kinds that `strangers` does not have.

- `monolith`: one Java process with a database; `mesh`: two proxies on each hop; `internal`: an Elixir system
  whose spans are all INTERNAL; `stream`: stages that share no trace, joined by links alone; `regions`: four
  traces a minute, the same names in two regions.
- `locks`: all operations of the culprit wait for one lock; `pool`: its calls wait for a thread, ever longer;
  `dns`: its callers cannot resolve it, after a second; `tls`: connecting to it takes 300 ms;
  `half`: every second of its replicas is slow; `loop`: it is asked eight times instead of once;
  `pauses`: it stands still every five seconds, longer each time; `flip`: it is no longer called.

    uv run python -m tests.datasets.evaluate.further mesh OUT [--seed N] [--quiet SECONDS]
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, Stranger, again, client, write_named
from tests.datasets.evaluate.systems import around

Found = tuple[Call, Call]  # the culprit's span, and the span around it


def called(call: Call, culprit: str, above: Call | None = None) -> Iterator[Found]:
    """The culprit's spans that another service calls, each with its caller's span."""
    for callee in list(call.calls):
        if callee.service == culprit and call.service != culprit:
            yield callee, call
        else:
            yield from called(callee, culprit, call)


def own(call: Call, culprit: str) -> Iterator[Call]:
    """All spans of the culprit."""
    if call.service == culprit:
        yield call
    for callee in call.calls:
        yield from own(callee, culprit)


def locks(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = list(own(call, culprit))
    for span in hit:
        span.own_ms += around(rng, 250, 0.5)
    return bool(hit)


def pool(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = [span for span, _ in called(call, culprit)] or list(own(call, culprit))[:1]
    for span in hit:
        span.own_ms += around(rng, 40 + 20 * into_s, 0.5)
    return bool(hit)


def half(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    return rng.random() < 0.5 and pool(rng, call, culprit, 30.0)


def pauses(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    left_ms = (100 + 30 * into_s) - 1_000 * (into_s % 5)
    hit = list(own(call, culprit))[:1] if left_ms > 50 else []
    for span in hit:
        span.own_ms += left_ms
    return bool(hit)


def dns(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = list(called(call, culprit))
    for span, above in hit:
        above.calls.remove(span)
        above.own_ms, above.failed = above.own_ms + 1_000, True
    call.failed |= bool(hit)
    return bool(hit)


def tls(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = list(called(call, culprit))
    for span, _ in hit:
        span.wait_ms += around(rng, 300, 0.2)
    return bool(hit)


def loop(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = list(called(call, culprit))
    for span, above in hit:
        above.calls += [again(span) for _ in range(7)]
    return bool(hit)


def flip(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = False
    for callee in list(call.calls):
        asked = culprit in (callee.service, *(below.service for below in callee.calls))
        if asked and call.service != culprit:
            call.calls.remove(callee)
            hit = True
        else:
            hit |= flip(rng, callee, culprit, into_s)
    return hit


FAULTS: dict[str, Spoiler] = {
    "locks": locks,
    "pool": pool,
    "dns": dns,
    "tls": tls,
    "half": half,
    "loop": loop,
    "pauses": pauses,
    "flip": flip,
}


def _monolith(rng: Rng, at_s: float) -> Call:
    def sql(name: str, ms: float) -> Call:
        return Call("shop", name, "CLIENT", around(rng, ms, 0.4), attributes={"db.system.name": "postgresql"})

    pick = rng.random()
    if pick < 0.5:
        calls = [sql("SELECT shop.products", 2) for _ in range(int(rng.integers(1, 4)))]
        return Call("shop", "GET /products", "SERVER", around(rng, 6, 0.4), calls)
    if pick < 0.8:
        session = Call("shop", "Session.find com.shop.Cart", "INTERNAL", 0.4, [sql("SELECT shop.carts", 3)])
        return Call("shop", "GET /cart/{id}", "SERVER", around(rng, 4, 0.4), [session])
    calls = [
        Call("shop", "Session.find com.shop.Cart", "INTERNAL", 0.4, [sql("SELECT shop.carts", 3)]),
        sql("INSERT shop.orders", 5),
        sql("UPDATE shop.stock", 4),
        Call("shop", "Transaction.commit", "INTERNAL", around(rng, 7, 0.5)),
    ]
    return Call("shop", "POST /orders", "SERVER", around(rng, 9, 0.4), calls)


def _mesh(rng: Rng, at_s: float) -> Call:
    def hop(caller: str, callee: str, name: str, server: Call) -> Call:
        """A client, its proxy, the other's proxy, the server."""
        into = Call(callee, f"ingress {callee}", "SERVER", 0.3, [server])
        out = Call(caller, f"egress outbound|80||{callee}", "CLIENT", 0.3, [into])
        out.attributes = {"server.address": callee, "server.port": 80}
        return out

    rating = Call("ratings", "GET /ratings/{id}", "SERVER", around(rng, 3, 0.4))
    review = Call("reviews", "GET /reviews/{id}", "SERVER", around(rng, 8, 0.4))
    if rng.random() < 0.7:
        review.calls = [hop("reviews", "ratings", "", rating)]
    detail = Call("details", "GET /details/{id}", "SERVER", around(rng, 4, 0.3))
    calls = [hop("page", "details", "", detail), hop("page", "reviews", "", review)]
    return Call("page", "GET /productpage", "SERVER", around(rng, 5, 0.3), calls)


def _internal(rng: Rng, at_s: float) -> Call:
    def step(service: str, name: str, ms: float, calls: list[Call] | None = None) -> Call:
        return Call(service, name, "INTERNAL", around(rng, ms, 0.4), calls or [])

    repo = step("shop_store", "ShopStore.Repo.all/2", 3)
    price = step("shop_price", "ShopPrice.Quote.get/1", 6)
    calls = [step("shop_web", "Plug.Session.call/2", 0.6), repo, price]
    if rng.random() < 0.3:
        calls.append(step("shop_mail", "ShopMail.Outbox.put/1", 12))
    return step("shop_web", "ShopWeb.CartController.show/2", 3, calls)


def _stream(rng: Rng, at_s: float) -> Call:
    pick = rng.random()
    if pick < 0.4:
        send = Call("ingest", "events publish", "PRODUCER", around(rng, 1.5, 0.3))
        return Call("ingest", "POST /event", "SERVER", around(rng, 4, 0.3), [send])
    table = Call("sink", "PUT rows", "SERVER", around(rng, 9, 0.4))
    if pick < 0.8:
        process = Call("enrich", "events process", "CONSUMER", around(rng, 25, 0.4))
        process.calls = [Call("enrich", "rows publish", "PRODUCER", around(rng, 1.5, 0.3))]
        return process
    return Call("writer", "rows process", "CONSUMER", around(rng, 12, 0.4), [client(table, "writer", "PUT")])


def _regions(rng: Rng, at_s: float) -> Call:
    near = rng.random() < 0.5
    tax = Call("tax", "POST /tax", "SERVER", around(rng, 30 if near else 55, 0.3))
    quote = Call("quote", "POST /quote", "SERVER", around(rng, 90, 0.3), [client(tax, "quote", "POST")])
    return Call("api", "POST /v1/quotes", "SERVER", 4, [client(quote, "api", "POST")])


_BOTH = ("locks", "pool", "half", "pauses")
FURTHER: dict[str, Stranger] = {
    "monolith": Stranger(_monolith, lambda _: 6.0, "shop", "shop", _BOTH),
    "mesh": Stranger(_mesh, lambda _: 4.0, "reviews", "page", tuple(FAULTS)),
    "internal": Stranger(_internal, lambda _: 5.0, "shop_price", "shop_web", (*_BOTH, "tls", "loop", "flip")),
    "stream": Stranger(_stream, lambda _: 8.0, "sink", "writer", (*_BOTH, "dns", "tls", "loop", "flip")),
    "regions": Stranger(
        _regions, lambda _: 4 / 60, "quote", "api", ("locks", "dns", "tls", "loop", "flip"), 3_600, 600
    ),
}
BLAMED_ON_CALLER = ("loop", "flip")


if __name__ == "__main__":
    write_named(__doc__, FURTHER, FAULTS, BLAMED_ON_CALLER)
