"""Five faults that most systems have, each as a change of the plan of a request.

- `slow`: one service takes ten times as long; `errors`: a fifth of its calls fail.
- `dead`: it does not answer, its callers are refused at once; `skipped`: it is no longer called, nor sent
  any message.
- `retries`: two of three calls fail and are tried again, four times at most.
"""

from __future__ import annotations

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, again


def _spoiler(fault: str) -> Spoiler:
    return lambda rng, call, culprit, into_s: spoil(rng, call, fault, culprit)


def spoil(rng: Rng, call: Call, fault: str, culprit: str) -> bool:
    """Change a request by a fault; whether it was met."""
    hit = False
    kept: list[Call] = []
    for callee in call.calls:
        servers = [c.service for c in callee.calls if callee.kind == "CLIENT"]
        mine = culprit in (callee.service, callee.attributes.get("server.address"), *servers)
        mine &= call.service != culprit
        sent = callee.kind == "PRODUCER" and any(one.service == culprit for one in callee.calls)
        if sent and fault == "skipped":
            hit = True
            continue
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


def slow_everything(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    """All own times and waits about three times as long, as on a saturated host; nobody is the culprit."""
    _stretch(call, 2.5 + rng.random())
    return True


def _stretch(call: Call, factor: float) -> None:
    call.own_ms *= factor
    call.wait_ms *= factor
    for callee in call.calls:
        _stretch(callee, factor)


USUAL_FAULTS: dict[str, Spoiler] = {
    fault: _spoiler(fault) for fault in ("slow", "errors", "dead", "skipped", "retries")
}
