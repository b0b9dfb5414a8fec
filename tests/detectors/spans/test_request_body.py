"""Bodies that come slowly, against the time of the server itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from detectors.model.operation import Operation
from detectors.settings import Settings
from detectors.spans.request_body import RequestBodies, reads_body
from detectors.stream.span_groups import SpanGroups

S, MS = 1_000_000_000, 1_000_000
UPLOAD = ("gateway", "POST /upload", "SERVER")
RECEIVE = ("gateway", "POST /upload http receive", "INTERNAL")


class Tail(NamedTuple):
    p50: float


class Usual(NamedTuple):
    tail: Tail


def batch(*rows: tuple[Operation, int, int, int]) -> tuple[pa.Table, SpanGroups]:
    """Spans of (operation, number, number of the parent, ns); each usually takes a millisecond."""
    keys = [UPLOAD, RECEIVE]
    codes = np.array([keys.index(row[0]) for row in rows], dtype=np.int64)
    spans = pa.table(
        {
            "duration_ns": np.array([row[3] for row in rows], dtype=np.int64),
            "span_hash": np.array([row[1] for row in rows], dtype=np.uint64),
            "parent_hash": np.array([row[2] for row in rows], dtype=np.uint64),
        }
    )
    models = [Usual(Tail(MS)), Usual(Tail(MS))]
    return spans, SpanGroups(keys, models, codes, codes, keys)  # type: ignore[arg-type]  # their medians alone


@pytest.mark.parametrize("apart", [False, True], ids=["in one batch", "the body before its request"])
def test_what_a_client_took_is_none_of_its_servers_time(apart):
    """A request of 30 s whose body took 29.9 s was itself 101 ms, in whatever batch its body landed."""
    bodies = RequestBodies(Settings())
    body, request = (RECEIVE, 2, 1, 29_900 * MS), (UPLOAD, 1, 0, 30 * S)
    if apart:
        bodies.own(*batch(body))
        own = bodies.own(*batch(request))
    else:
        own = bodies.own(*batch(body, request))
    assert own["duration_ns"].to_pylist()[-1] == 101 * MS


def test_requests_without_a_wait_are_left_as_they_are():
    """Usual bodies change nothing, and neither does the wait of another request."""
    bodies = RequestBodies(Settings())
    spans, groups = batch((RECEIVE, 2, 1, MS), (UPLOAD, 1, 0, 5 * MS), (RECEIVE, 4, 3, 9 * S))
    assert bodies.own(spans, groups) is spans


@pytest.mark.parametrize(
    "name", ["middleware - jsonParser", "POST /x http receive", "middleware - multerMiddleware"]
)
def test_readers_of_bodies_are_known_by_name(name):
    """Of ASGI and Express, and only inside of a server."""
    assert reads_body(("api", name, "INTERNAL"))
    assert not reads_body(("api", name, "SERVER"))
    assert not reads_body(("api", "middleware - session", "INTERNAL"))
