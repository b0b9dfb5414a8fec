"""Labelled folders of systems that change for a minute, each a kind of trouble that hides in totals.

- `pooled`: a storefront whose HTTP client spans are all called GET or POST. One of six partners dies; later
  the cache is no longer asked.
- `cold_cache`: every request is an ordinary miss for a minute, so calls double and no trace is odd.
- `queue`: three messages in ten wait 1 to 12 s, usually 3 ms, at less than one a second.
- `retries`: calls that fail two times in three, each tried four times.
- `dribble`: clients on slow lines, whose bodies take seconds to arrive.

    uv run python -m tests.datasets.evaluate.timelines pooled OUT [--seed N]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.datasets.evaluate.systems import START_NS, Span, around, folder_parser, span_rows, write_folder


class Episode(NamedTuple):
    """A stretch of the judged time in which something is wrong; seconds from its begin."""

    kind: str
    begin_s: int
    end_s: int
    culprit: str


# (random numbers, kind of trouble or None) → (root span, whether it took part in the trouble)
Request = Callable[[np.random.Generator, str | None], tuple[Span, bool]]


def _get(service: str, host: str, port: int, at: float, length: float, *, failed: bool = False) -> Span:
    where = {"http.request.method": "GET", "server.address": host, "server.port": port}
    return Span(service, "GET", "CLIENT", at, length, failed=failed, attributes=where)


def pooled(rng: np.random.Generator, fault: str | None) -> tuple[Span, bool]:
    root = Span("storefront", "GET /", "SERVER", 0, 0)
    at, hit = 1.0, fault == "cache forgotten"
    if not hit:
        for _ in range(6):
            root.children.append(_get("storefront", "cache", 8080, at, around(rng, 1.0, 0.2)))
            at = root.children[-1].end
    for partner in range(6):
        if rng.random() < 0.2:
            dead = fault == "dead partner" and partner == 3
            hit |= dead
            call = _get(
                "storefront", f"partner-{partner}.example", 443, at, around(rng, 20, 0.3), failed=dead
            )
            root.children.append(call)
            at = call.end
    price = Span("storefront", "POST", "CLIENT", at, around(rng, 5, 0.2))
    price.attributes = {"server.address": "pricing", "server.port": 8080}
    price.children.append(Span("pricing", "POST /price", "SERVER", at + 0.5, price.length - 1))
    root.children.append(price)
    root.length = price.end + 1
    return root, hit


def cold_cache(rng: np.random.Generator, fault: str | None) -> tuple[Span, bool]:
    missed = fault is not None or rng.random() < 0.4
    root = Span("catalog", "list", "SERVER", 0, 0)
    at = 1.0
    for _ in range(5 if missed else 2):
        root.children.append(Span("catalog", "SELECT", "CLIENT", at, around(rng, 3, 0.2)))
        at = root.children[-1].end
    root.length = at + around(rng, 1, 0.2)
    return root, fault is not None


def queue(rng: np.random.Generator, fault: str | None) -> tuple[Span, bool]:
    root = Span("orders", "POST /order", "SERVER", 0, around(rng, 8, 0.2))
    send = Span("orders", "orders send", "PRODUCER", 2, around(rng, 1, 0.2))
    odd = bool(fault is not None and rng.random() < 0.3)
    wait = float(rng.uniform(1_000, 12_000)) if odd else around(rng, 3, 0.4)
    send.children.append(Span("mailer", "orders process", "CONSUMER", send.end + wait, around(rng, 30, 0.3)))
    root.children.append(send)
    return root, odd


def retries(rng: np.random.Generator, fault: str | None) -> tuple[Span, bool]:
    """A payment fails once in fifty calls; in the storm two times in three."""
    root = Span("checkout", "POST /checkout", "SERVER", 0, 0)
    at, failed, odd = 1.0, True, False
    for _ in range(4):
        failed = bool(rng.random() < (0.67 if fault else 0.02))
        call = Span("checkout", "POST /pay", "CLIENT", at, around(rng, 12, 0.3), failed=failed)
        call.children.append(Span("payments", "POST /pay", "SERVER", at + 1, call.length - 2, failed=failed))
        root.children.append(call)
        at = call.end
        odd |= failed and fault is not None
        if not failed:
            break
    root.length, root.failed = at + 1, failed
    return root, odd


def dribble(rng: np.random.Generator, fault: str | None) -> tuple[Span, bool]:
    slow = bool(fault is not None and rng.random() < 0.5)
    root = Span("gateway", "POST /upload", "SERVER", 0, 0)
    body = Span("gateway", "POST /upload http receive", "INTERNAL", 0.2, around(rng, 0.5, 0.3))
    body.attributes = {"asgi.event.type": "http.request"}
    body.length += float(rng.uniform(5_000, 30_000)) if slow else 0.0
    root.children.append(body)
    store = Span("store", "put", "SERVER", body.end + 0.3, around(rng, 12, 0.3))
    root.children.append(store)
    root.length = store.end + around(rng, 1, 0.2)
    return root, slow


TIMELINES: dict[str, tuple[Request, float, tuple[Episode, ...]]] = {
    "pooled": (
        pooled,
        4.0,
        (
            Episode("dead partner", 120, 180, "storefront"),
            Episode("cache forgotten", 360, 420, "storefront"),
        ),
    ),
    "cold_cache": (cold_cache, 5.0, (Episode("cold cache", 120, 180, "catalog"),)),
    "queue": (queue, 0.8, (Episode("long waits", 120, 180, "mailer"),)),
    "retries": (retries, 4.0, (Episode("retry storm", 120, 160, "payments"),)),
    "dribble": (dribble, 3.0, (Episode("slow clients", 120, 180, "gateway"),)),
}


def write_timeline(path: Path, name: str, *, seed: int = 0, baseline_s: int = 600, test_s: int = 480) -> Path:
    """Write the folder of one: usual traffic, then as much to judge as `test_s` holds."""
    request, per_second, episodes = TIMELINES[name]
    rng = np.random.default_rng([seed, len(name)])
    rows: list[dict[str, object]] = []
    labels: list[dict[str, object]] = []
    for number in range(int((baseline_s + test_s) * per_second)):
        at_s = number / per_second - baseline_s
        episode = next((e for e in episodes if e.begin_s <= at_s < e.end_s), None)
        root, odd = request(rng, episode.kind if episode else None)
        trace_id = f"{number:032x}"
        common = {
            "trace_id": trace_id,
            "split": "test" if at_s >= 0 else "baseline",
            "case_id": episode.kind if episode and odd else None,
        }
        rows += span_rows(root, common, START_NS + int((at_s + baseline_s) * 1e9))
        if at_s >= 0:
            labels.append({"trace_id": trace_id, "anomalous": odd})
    cases: list[dict[str, object]] = [
        {
            "case_id": episode.kind,
            "fault_kind": episode.kind,
            "root_services": [episode.culprit],
            "root_operation": None,
            "inject_time_unix_nano": START_NS + (baseline_s + episode.begin_s) * 10**9,
        }
        for episode in episodes
        if episode.begin_s < test_s
    ]
    write_folder(path, rows, labels, cases)
    return path


def main() -> None:
    given = folder_parser(__doc__, TIMELINES).parse_args()
    write_timeline(given.out, given.name, seed=given.seed)


if __name__ == "__main__":
    main()
