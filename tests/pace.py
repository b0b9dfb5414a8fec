"""How slow this machine is at present, so that a bound in seconds is a ratio within one run.

Bounds in tests are written for one quiet machine (`NOMINAL_S`). Elsewhere, or beside other work, everything
takes longer, the reference work below as well: a bound is multiplied by how much longer it takes. On that
machine, when it is quiet, and on any faster one, a bound is what is written.

    with within_cpu_s(5): ...       # CPU of this process
    with within_s(2): ...           # time on the wall
    check_cpu(min(took_s), 0.3)     # what the test has measured itself, e.g. the best of three
    client.get(url, timeout=patience_s(10))

A bound that holds as written costs no measurement.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import monotonic, process_time

import numpy as np

# CPU of one run of `reference_work`: 20 to 23 ms on the machine of BENCHMARKS.md (two cores of an AMD EPYC,
# CPython 3.11), 2026-11-28.
NOMINAL_S = 0.022
_RUNS = 5
_RECENT_S = 20  # as long one measurement serves time limits


def reference_work() -> None:
    """The usual work of tests: objects, texts and dictionaries in Python, and sorted arrays."""
    rows = [{"id": f"{number:08x}", "size": number * 7919 % 1000, "name": "span"} for number in range(6_000)]
    rows.sort(key=lambda row: (row["size"], row["id"]))
    by_size: dict[object, list[object]] = {}
    for row in rows:
        by_size.setdefault(row["size"], []).append(row["id"])
    json.loads(json.dumps(rows))
    np.sort(np.random.default_rng(1).random(100_000))


def cpu_slowness() -> float:
    """How many times the nominal CPU time the reference work takes now; at least 1."""
    return max(1.0, min(_timed()[1] for _ in range(_RUNS)) / NOMINAL_S)


def slowness() -> float:
    """How many times the nominal time it takes on the wall; at least 1.

    Other work comes and goes: the load of the last minute counts where it was more than the work meets now.
    """
    runs = [_timed() for _ in range(_RUNS)]
    cpu = min(cpu_s for _, cpu_s in runs) / NOMINAL_S
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return max(1.0, max(wall_s for wall_s, _ in runs) / NOMINAL_S, cpu * waiting)


def patience_s(bound_s: float) -> float:
    """How long to wait here for what comes about within `bound_s` on the nominal machine: a time limit."""
    return bound_s * _recent_slowness(int(monotonic() / _RECENT_S))


async def until(condition: Callable[[], object], bound_s: float = 10.0) -> None:
    """Wait, beside the event loop, for what comes about within `bound_s` on the nominal machine."""
    async with asyncio.timeout(patience_s(bound_s)):
        while not condition():
            await asyncio.sleep(0.01)


@lru_cache(maxsize=1)
def _recent_slowness(_: int) -> float:
    return slowness()


def check(took_s: float, bound_s: float) -> None:
    """Whether `took_s` on the wall keeps a bound that was written for the nominal machine."""
    if took_s > bound_s:
        times = slowness()
        assert took_s <= bound_s * times, (
            f"{took_s:.3g} s are beyond {bound_s} s, on a machine {times:.2f} times as slow"
        )


def check_cpu(took_s: float, bound_s: float) -> None:
    """The same of CPU time."""
    if took_s > bound_s:
        times = cpu_slowness()
        assert took_s <= bound_s * times, (
            f"{took_s:.3g} s of CPU are beyond {bound_s} s, on a machine {times:.2f} times as slow"
        )


@contextmanager
def within_s(bound_s: float) -> Iterator[None]:
    """The block takes no more than this on the wall."""
    began_s = monotonic()
    yield
    check(monotonic() - began_s, bound_s)


@contextmanager
def within_cpu_s(bound_s: float) -> Iterator[None]:
    """The block takes no more than this of this process's CPU, all its threads together."""
    began_s = process_time()
    yield
    check_cpu(process_time() - began_s, bound_s)


def _timed() -> tuple[float, float]:
    """(wall, CPU) of one run."""
    began_s, cpu_began_s = monotonic(), process_time()
    reference_work()
    return monotonic() - began_s, process_time() - cpu_began_s
