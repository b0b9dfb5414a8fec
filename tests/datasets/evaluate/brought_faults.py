"""Faults of a minute that meet one service of a system, each as a change of the plan of a request.

- `slow`: its entries take eight times as long; `heavy`: three of ten take .3 s and, rarely, far more.
- `failing`: three of ten requests fail at it; `raising`: they record an exception, and no status.
- `missing`: its caller no longer calls it; `dead`: the calls get no answer, and whoever waits for them fails.
- `structure`: it calls something that it never called.
- `storm`: six of ten calls to it fail two to five times before they succeed.
- `leak`: after ten seconds it becomes slower and slower, four times as slow in the end; `deploy`: all of its
  spans take 1.3 times as long.
- `tenant`, `region`: it is eight times slower for one in five tenants, or one region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, again
from tests.datasets.evaluate.systems import around

_PROXIES_MAX = 4  # spans between a caller and whom it calls


def _spans(call: Call) -> Iterator[Call]:
    yield call
    for below in call.calls:
        yield from _spans(below)


def _entries(call: Call, service: str, above: str = "") -> list[Call]:
    """The spans of a service that others called."""
    found = [call] if call.service == service != above else []
    return found + [one for below in call.calls for one in _entries(below, service, call.service)]


def _leads_to(call: Call, caller: str, service: str) -> bool:
    """Whether this is a call of the caller to the service, through its client span and proxies if any."""
    for _ in range(_PROXIES_MAX):
        if call.service == service:
            return caller != service
        if len(call.calls) != 1 or not (call.service == caller or call.service.endswith(".mesh")):
            return False
        call = call.calls[0]
    return call.service == service


def _entered(change: Callable[[Rng, Call, float], bool]) -> Spoiler:
    """A change of each entry; whether any was met."""

    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        return sum(change(rng, one, into_s) for one in _entries(call, culprit)) > 0  # all of them

    return spoiled


def _longer(factor: float) -> Spoiler:
    def change(rng: Rng, call: Call, into_s: float) -> bool:
        call.own_ms = call.own_ms * factor + 1
        return True

    return _entered(change)


def _heavy(rng: Rng, call: Call, into_s: float) -> bool:
    hit = bool(rng.random() < 0.3)
    call.own_ms += 300 * (1 + float(rng.pareto(1.5))) * hit
    return hit


def _growing(rng: Rng, call: Call, into_s: float) -> bool:
    call.own_ms *= 1 + into_s / 20
    return into_s > 10


def _further(rng: Rng, call: Call, into_s: float) -> bool:
    where: dict[str, object] = {"server.address": "audit-old"}
    audit = Call(call.service, "legacy.audit", "CLIENT", around(rng, 3, 0.3), attributes=where)
    call.calls = [*call.calls, audit]
    return True


def _up(call: Call, service: str, mark: Callable[[Call], None]) -> bool:
    """Mark the spans of a service and all that wait for them."""
    hit = sum([_up(below, service, mark) for below in call.calls]) > 0 or call.service == service
    if hit:
        mark(call)
    return hit


def _failing(mark: Callable[[Call], None]) -> Spoiler:
    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        return bool(rng.random() < 0.3) and _up(call, culprit, mark)

    return spoiled


def _fail(call: Call) -> None:
    call.failed = True


def _raise(call: Call) -> None:
    call.attributes = {**call.attributes, "exception.type": "ValueError"}


def _missing(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    kept = [below for below in call.calls if not _leads_to(below, call.service, culprit)]
    hit = len(kept) < len(call.calls)
    call.calls = kept
    return sum(_missing(rng, below, culprit, into_s) for below in kept) > 0 or hit


def _dead(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    kept = [below for below in call.calls if below.service != culprit or call.service == culprit]
    hit = len(kept) < len(call.calls)
    call.calls = kept
    hit |= sum([_dead(rng, below, culprit, into_s) for below in kept]) > 0
    call.failed |= hit
    return hit


def _storm(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    hit = False
    for span in list(_spans(call)):
        tried: list[Call] = []
        for below in span.calls:
            calls_it = not span.service.endswith(".mesh") and _leads_to(below, span.service, culprit)
            if calls_it and rng.random() < 0.6:
                hit = True
                for _ in range(int(rng.integers(2, 6))):
                    tried.append(again(below))
                    for one in _spans(tried[-1]):
                        one.failed = True
            tried.append(below)
        span.calls = tried
    return hit


def _deploy(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    own = [one for one in _spans(call) if one.service == culprit]
    for one in own:
        one.own_ms *= 1.3
    return bool(own)


def _of_one(attribute: str, value: str) -> Spoiler:
    slow = _longer(8)

    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        return call.attributes.get(attribute) == value and slow(rng, call, culprit, into_s)

    return spoiled


FAULTS: dict[str, Spoiler] = {
    "slow": _longer(8),
    "heavy": _entered(_heavy),
    "failing": _failing(_fail),
    "raising": _failing(_raise),
    "missing": _missing,
    "dead": _dead,
    "structure": _entered(_further),
    "storm": _storm,
    "leak": _entered(_growing),
    "deploy": _deploy,
    "tenant": _of_one("tenant", "core"),
    "region": _of_one("cloud.region", "ap"),
}
OF_CALLER = ("missing",)
