"""A labelled folder of services that die and come back within seconds, and of what looks like it.

An order asks a risk service over gRPC, sends a mail, and sends a command to a matcher over a queue, for whose
reply it waits in a span beside the sending one. Within an episode of a minute the culprit is away three
times, for 7, 3 and 12 s; what was sent meanwhile is taken when it is back.

- `queue waits`, `queue gives up`: commands to the matcher wait; the order gives up after five seconds.
- `call waits`: calls to the risk service wait; `call refused`: they fail, and are tried twice more.
- `gone`: the matcher does not come back.
- `late commands`: each command is under way for .9 s; `late reply`: the order is slow by itself.

    uv run python -m tests.datasets.evaluate.returns orders OUT [--seed N]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.datasets.evaluate.call_plans import Call, Rng, Spoiler, Stranger, write_system
from tests.datasets.evaluate.systems import around, folder_parser

_AWAY_S = ((2, 9), (20, 23), (35, 47))
_PATIENCE_MS = 5_000.0
_PAUSES_MS = (300.0, 600.0, 1_200.0)  # before each try


def _order(rng: Rng, at_s: float) -> Call:
    match = Call("matcher", "match", "CONSUMER", around(rng, 2, 0.4), wait_ms=around(rng, 3, 0.4))
    send = Call("orders", "commands send", "PRODUCER", around(rng, 0.3, 0.3), [match])
    took = match.own_ms + match.wait_ms + around(rng, 1, 0.3)
    reply = Call("orders", "replies receive", "INTERNAL", took)
    risk = Call("risk", "Check", "SERVER", around(rng, 4, 0.4))
    check = Call("orders", "Check", "CLIENT", 0.4, [risk])
    mail = Call("mailer", "mail process", "CONSUMER", around(rng, 20, 0.4), wait_ms=around(rng, 4, 0.4))
    note = Call("orders", "mail send", "PRODUCER", 0.3, [mail])
    order = Call("orders", "POST /orders", "SERVER", around(rng, 3, 0.3), [check, note, send, reply])
    return Call("web", "POST", "CLIENT", 0.3, [order], attributes={"server.address": "orders"})


def _away_ms(into_s: float) -> float:
    """How long the culprit will still be away; 0 if it is there."""
    return max((1e3 * (end - into_s) for begin, end in _AWAY_S if begin <= into_s < end), default=0.0)


def _queue(patience_ms: float) -> Spoiler:
    def spoiled(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
        away_ms = _away_ms(into_s)
        if not away_ms:
            return False
        order = call.calls[0]
        _, _, send, reply = order.calls
        away_ms += float(rng.uniform(0, 80))  # it works off what has gathered
        send.calls[0].wait_ms += away_ms
        reply.own_ms = min(reply.own_ms + away_ms, patience_ms)
        reply.failed = order.failed = call.failed = reply.own_ms == patience_ms
        return True

    return spoiled


def _call_waits(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    away_ms = _away_ms(into_s)
    if away_ms:
        call.calls[0].calls[0].calls[0].wait_ms += away_ms + float(rng.uniform(0, 40))
    return away_ms > 0


def _call_refused(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    away_ms = _away_ms(into_s)
    if not away_ms:
        return False
    order = call.calls[0]
    tries = [Call("orders", "Check", "CLIENT", 1.0, failed=True, wait_ms=pause) for pause in _PAUSES_MS]
    there_again = away_ms < sum(_PAUSES_MS)
    order.failed = call.failed = not there_again
    order.calls = [*tries[:2], *order.calls] if there_again else list(tries)
    return True


def _gone(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    order = call.calls[0]
    _, _, send, reply = order.calls
    send.calls, reply.own_ms = [], _PATIENCE_MS
    reply.failed = order.failed = call.failed = True
    return True


def _late_commands(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    _, _, send, reply = call.calls[0].calls
    more_ms = around(rng, 900, 0.1)
    send.calls[0].wait_ms += more_ms
    reply.own_ms += more_ms
    return True


def _late_reply(rng: Rng, call: Call, culprit: str, into_s: float) -> bool:
    call.calls[0].calls[-1].own_ms += around(rng, 800, 0.4)
    return True


FAULTS: dict[str, tuple[Spoiler, str]] = {
    "queue waits": (_queue(1e9), "matcher"),
    "queue gives up": (_queue(_PATIENCE_MS), "matcher"),
    "call waits": (_call_waits, "risk"),
    "call refused": (_call_refused, "risk"),
    "gone": (_gone, "matcher"),
    "late commands": (_late_commands, "orders"),
    "late reply": (_late_reply, "orders"),
}


def write_orders(
    path: Path, *, seed: int = 0, rate: Callable[[float], float] = lambda _: 6.0, learned_s: int = 600
) -> Path:
    """Write the folder; each case names the service that is at fault."""
    spoilers = {name: spoiler for name, (spoiler, _) in FAULTS.items()}
    system = Stranger(_order, rate, "matcher", "orders", tuple(FAULTS), learned_s)
    write_system(path, "orders", system, spoilers, (), seed=seed)
    cases = json.loads((path / "cases.json").read_text())
    for case in cases:
        case["root_services"] = [FAULTS[case["fault_kind"]][1]]
    (path / "cases.json").write_text(json.dumps(cases))
    return path


if __name__ == "__main__":
    parser = folder_parser(__doc__, ("orders",))
    given = parser.parse_args()
    write_orders(given.out, seed=given.seed)
