from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.localise import SOURCES, Traces, Usual, localise
from detectors.localise.attribution.stalls import STALLS, Stalls
from detectors.localise.traces import SPAN_COLUMNS
from detectors.settings import Settings

MS = 1_000_000
STALL_MS = 200.0
EVERY_MS = 5.0
TYPES = {"start_unix_nano": pa.int64(), "duration_ns": pa.int64()}
SPANS = pa.schema([(name, TYPES.get(name, pa.string())) for name in SPAN_COLUMNS])
# (id, parent, service, operation, begin and end after the request came): 25 ms, of which the book 0.3.
REQUEST = [
    ("a", None, "front", "POST", 0.0, 25.0),
    ("b", "a", "desk", "work", 1.0, 24.0),
    ("c", "b", "market", "book", 21.3, 21.6),
]

Stall = tuple[float, float]  # when it begins, how long it lasts; ms


def spans(count: int, stalls: list[Stall], *, name: str = "now") -> pa.Table:
    """Requests every 10 ms in a process that stands still from time to time."""

    def real_ns(moment_ms: float) -> int:
        return int((moment_ms + sum(length for begin, length in stalls if begin < moment_ms)) * MS)

    rows = []
    for number in range(count):
        for span, above, service, operation, begin, end in REQUEST:
            start_ns, end_ns = (real_ns(number * EVERY_MS + offset) for offset in (begin, end))
            rows.append(
                {
                    "trace_id": f"{name}{number}",
                    "span_id": f"{span}{number}",
                    "parent_span_id": above and f"{above}{number}",
                    "service_name": service,
                    "operation": operation,
                    "span_kind": "INTERNAL",
                    "start_unix_nano": start_ns,
                    "duration_ns": end_ns - start_ns,
                    "status_code": "UNSET",
                    "status_message": "",
                }
            )
    return pa.Table.from_pylist(rows, schema=SPANS)


def in_the_book(number: int) -> Stall:
    """A stall that the book of a request causes."""
    return number * EVERY_MS + 21.5, STALL_MS


COLLECTIONS = [in_the_book(number) for number in range(10, 200, 20)]


@pytest.fixture(scope="module")
def usual() -> Usual:
    before = spans(300, [], name="before")
    flags = {f: pa.array([f == "is_new"] * before.num_rows) for f in ("is_new", "flagged", "in_incident")}
    baselines = Baselines(Settings())
    baselines.add(learn_times(pa.table({**dict(zip(SPANS.names, before.columns, strict=True)), **flags})))
    return Usual(baselines.self_times, baselines.edge, before)


def test_who_stops_the_world_is_named(usual):
    """Ten collections in the book make all services and five requests each slow: the book is the cause."""
    found = spans(200, COLLECTIONS)
    cause = localise(found, usual)[0]
    assert (cause["service"], cause["operation"]) == ("market", "book")
    assert "everything else stood still" in cause["evidence"][0]["text"]
    assert cause["evidence"][0]["span_id"].startswith("c")


def test_without_it_who_waited_is_accused(usual):
    """The waiting operation takes as long and is seen more often: no other source separates the two."""
    found = spans(200, COLLECTIONS)
    others = [source for source in SOURCES if source != STALLS]
    assert localise(found, usual, sources=others)[0]["service"] != "market"


def test_time_that_stood_still_is_nobody_elses(usual):
    """Without the stalls, own times of all but the ten books are as usual."""
    traces = Traces.of(spans(200, COLLECTIONS), usual)
    assert traces.stalls is not None
    assert len(traces.stalls.rows) == 10
    rest = np.setdiff1d(np.arange(600), traces.stalls.rows)
    usually = Traces.of(spans(200, []), usual).self_time_ns[rest]
    assert np.allclose(traces.self_time_ns[rest], usually, atol=2 * MS)
    # Five requests are under way at any moment, one of them in the book.
    assert traces.held_ns == pytest.approx(10 * 4 * STALL_MS * MS, rel=0.05)


def test_a_slow_book_that_lets_others_go_on_is_no_stall(usual):
    """Where other requests begin and end meanwhile, nothing stood still."""
    slow = spans(200, []).to_pylist()
    for row in slow:
        if int(row["span_id"][1:]) % 20 == 10:
            row["duration_ns"] += int(60 * MS)  # ten books, 100 ms apart
    assert Traces.of(pa.Table.from_pylist(slow, schema=SPANS), usual).stalls is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [12, 40, 100])
def test_pauses_of_the_machine_accuse_nobody(usual, count, seed):
    """A machine that stops at any moment meets what usually runs, and now and then the book."""
    rng = np.random.default_rng(seed)
    pauses = [(float(begin), STALL_MS) for begin in rng.uniform(30, 4_970, count)]
    assert Traces.of(spans(1_000, pauses), usual).stalls is None


def test_one_request_at_a_time_proves_nothing(usual):
    """Silence says nothing where nothing else was to be expected."""
    rows = spans(1_000, [in_the_book(number) for number in range(5, 1_000, 100)])
    lone = pa.array([int(span[1:]) % 100 == 5 for span in rows["span_id"].to_pylist()])
    assert Traces.of(rows.filter(lone), usual).stalls is None


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8),
    st.integers(0, 900),
    st.integers(0, 900),
)
def test_the_clock_loses_what_stood_still(gaps, one, other):
    """Between two moments the clock goes on by their distance less the stalls between them."""
    start, end, moment = [], [], 0
    for before, length in gaps:
        start.append(moment + before)
        end.append(moment + before + length)
        moment = end[-1]
    stalls = Stalls(np.arange(len(gaps)), np.array(start), np.array(end))
    first, last = min(one, other), max(one, other)
    stood = sum(max(min(last, e) - max(first, s), 0) for s, e in zip(start, end, strict=True))
    shown = stalls.clock(np.array([first, last]))
    assert shown[1] - shown[0] == last - first - stood
