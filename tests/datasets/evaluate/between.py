"""A labelled folder of faults between services: who holds a call that is on its way, and who asks again.

A checkout asks a stock, a price (which the cart asks too) and a mail service, each with a client span.

- `connecting`: each connection to the price service takes 300 ms; `some connecting`: one call in three does.
- `accept queue`: calls of both callers wait ever longer in front of the price service.
- `pause`: the checkout stands still now and then before it sends, whomever it asks.
- `client asks again`: a library repeats the call to the price service within one client span, though nothing
  failed; `refused once`: it does so since the first attempt was refused by the price service.

    uv run python -m tests.datasets.evaluate.between calls OUT [--seed N]
"""

from __future__ import annotations

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, Stranger, again, client, write_system
from tests.datasets.evaluate.systems import around, folder_parser

CALLER, CALLEE = "checkout", "price"
OF_CALLER = ("pause", "client asks again")


def _request(rng: Rng, at_s: float) -> Call:
    price = Call(CALLEE, "GET /price", "SERVER", around(rng, 8, 0.3))
    if rng.random() < 0.3:
        return Call("cart", "GET /cart", "SERVER", around(rng, 3, 0.3), [client(price, "cart")])
    stock = Call("stock", "POST /reserve", "SERVER", around(rng, 12, 0.3))
    calls = [client(stock, CALLER, "POST"), client(price, CALLER)]
    if rng.random() < 0.4:
        calls.append(client(Call("mail", "POST /mail", "SERVER", around(rng, 20, 0.3)), CALLER, "POST"))
    return Call(CALLER, "POST /checkout", "SERVER", around(rng, 5, 0.3), calls)


def _waiting(share: float, wait_ms: float, more_ms_a_second: float = 0.0) -> Spoiler:
    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        hit = [span.calls[0] for span in call.calls if span.calls[0].service == culprit]
        hit = hit if rng.random() < share and (more_ms_a_second or call.service == CALLER) else []
        for server in hit:
            server.wait_ms += around(rng, wait_ms + more_ms_a_second * into_s, 0.2)
        return bool(hit)

    return spoiled


def _pause(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    if call.service != CALLER or rng.random() > 0.6:
        return False
    for span in call.calls:
        if rng.random() < 0.6:
            span.calls[0].wait_ms += around(rng, 250, 0.3)
    return True


def _asking_again(*, refused: bool) -> Spoiler:
    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        hit = [span for span in call.calls if span.calls[0].service == culprit]
        hit = hit if rng.random() < 0.7 and (refused or call.service == CALLER) else []
        for span in hit:
            first = again(span.calls[0])
            if refused:
                first.own_ms, first.failed = 0.7, True
            span.calls = [first, *(again(span.calls[0]) for _ in range(int(rng.integers(1, 3))))]
            span.own_ms += 20
        return bool(hit)

    return spoiled


FAULTS: dict[str, Spoiler] = {
    "connecting": _waiting(1.0, 300),
    "some connecting": _waiting(0.35, 300),
    "accept queue": _waiting(1.0, 40, 10),
    "pause": _pause,
    "client asks again": _asking_again(refused=False),
    "refused once": _asking_again(refused=True),
}
SYSTEM = Stranger(_request, lambda _: 4.0, CALLEE, CALLER, tuple(FAULTS))


def main() -> None:
    given = folder_parser(__doc__, ("calls",)).parse_args()
    write_system(given.out, given.name, SYSTEM, FAULTS, OF_CALLER, seed=given.seed)


if __name__ == "__main__":
    main()
