from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from exchange_ref.faults.clean import disturbances
from exchange_ref.faults.impact import Window
from exchange_ref.telemetry.span_witness import MAX_REMEMBERED_RUNS, REMEMBERED_RUNS, SpanWitness
from exchange_ref.telemetry.tracing import resource_of

MS = 1_000_000
RESOURCE = resource_of("kx-exchange")
CONTROL = Window(10_000 * MS, 15_000 * MS)


def witness(duration_ms, *, failed=lambda _: False, twice=lambda _: False) -> SpanWitness:
    """One operation every 50 ms for 20 s; each argument is a function of the time in ms."""
    seen, rng = SpanWitness(), random.Random(1)
    for number, at_ms in enumerate(range(0, 20_000, 50), start=1):
        for copy in range(2 if twice(at_ms) else 1):
            took_ms = duration_ms(at_ms) * rng.uniform(0.7, 1.5)
            seen.on_end(span(number, at_ms, took_ms, copy, failed=failed(at_ms)))
    return seen


def span(number: int, at_ms: float, took_ms: float, copy: int = 0, *, failed: bool = False) -> ReadableSpan:
    return ReadableSpan(
        "INSERT orders",
        SpanContext(number, number * 2 + copy, is_remote=False),
        resource=RESOURCE,
        start_time=int(at_ms * MS),
        end_time=int((at_ms + took_ms) * MS),
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
    )


def inside(at_ms: float) -> bool:
    return 10_000 <= at_ms <= 15_000


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (witness(lambda _: 2.0), []),
        (witness(lambda at: 2.6 if inside(at) else 2.0), []),
        # One stall of the machine, however long its orders took.
        (witness(lambda at: 400.0 if 11_000 <= at <= 11_800 else 2.0), []),
        (witness(lambda at: 20.0 if inside(at) else 2.0), ["latency kx-exchange INSERT orders"]),
        (
            witness(lambda _: 2.0, failed=lambda at: inside(at) and at % 500 == 0),
            ["error kx-exchange INSERT orders"],
        ),
        (witness(lambda _: 2.0, failed=lambda at: at % 500 == 0), []),
        (
            witness(lambda _: 2.0, twice=lambda at: inside(at) and at % 200 == 0),
            ["count kx-exchange INSERT orders"],
        ),
    ],
    ids=["quiet", "busier", "one stall", "slower", "failing", "as many failures as before", "repeated"],
)
def test_a_disturbance_is_named_and_a_stall_is_none(seen: SpanWitness, found: list[str]) -> None:
    """A change that lasts through a control is a disturbance of its operation; a stall of a busy machine is
    not.
    """
    assert disturbances(seen, CONTROL) == found


def test_the_time_before_a_loop_of_statements_is_still_known() -> None:
    """Thousands of spans of one operation in seconds do not push out what was usual; old ones go."""
    seen = SpanWitness()
    for number in range(REMEMBERED_RUNS * 3):
        seen.on_end(span(number + 1, number, 1.0))
    runs = seen.runs("kx-exchange", "INSERT orders")
    assert len(runs) == REMEMBERED_RUNS * 3 < MAX_REMEMBERED_RUNS
    seen.on_end(span(10**6, 125_000.0, 1.0))
    assert seen.runs("kx-exchange", "INSERT orders")[0].start_unix_nano > 4_000 * MS
