from __future__ import annotations

from dataclasses import replace

import numpy as np

from detectors.localise.attribution.slowdown import Slow, slowdown
from detectors.localise.evidence.edge_time import Ends, edge_ends
from detectors.localise.traces import Traces
from detectors.model.operation import Operation
from detectors.stats.sketch import Sketch

MS = 1e6
USUAL = Sketch.of(np.full(100, 2 * MS))


def edge(caller: str, callee: int, gap_ms: float, sender: float = 0.0) -> Slow:
    values = np.full(20, gap_ms * MS)
    ratio, effect = slowdown(values, USUAL)
    key = Operation(caller, "GET", "CLIENT")
    return Slow(key, np.arange(20), values, USUAL, ratio, ratio, effect, effect, callee, sender=sender)


def own(service: str, took_ms: float) -> Slow:
    values = np.full(20, took_ms * MS)
    ratio, effect = slowdown(values, USUAL)
    return Slow(
        Operation(service, "GET", "SERVER"), np.arange(20), values, USUAL, ratio, ratio, effect, effect
    )


def ends(shop, usual, *edges: Slow, by_itself: tuple[Slow, ...] = ()) -> Ends:
    shop.trace()
    traces = Traces.of(shop.span_table(), usual)
    assert traces.services == ["price", "shop", "stock"]
    return edge_ends(traces, list(by_itself), list(edges))


def test_slow_over_all_its_callers(shop, usual):
    """Two callers that wait for one service only: the service is more suspicious than either."""
    found = ends(
        shop, usual, edge("shop", 2, 900), edge("price", 2, 900), edge("shop", 0, 2), edge("price", 1, 2)
    )
    assert found.callee["stock"] > found.caller["shop"] > 0
    assert found.callee_share(edge("shop", 2, 900), ["price", "shop", "stock"]) > 0.5


def test_slow_to_all_it_calls(shop, usual):
    """One caller that waits for everything, while others do not: the caller is the more suspicious."""
    found = ends(
        shop, usual, edge("shop", 2, 900), edge("shop", 0, 900), edge("price", 2, 2), edge("stock", 0, 2)
    )
    assert found.caller["shop"] > max(found.callee.values())


def test_caller_of_one_service_is_not_suspected(shop, usual):
    """With a single edge there is nothing to tell its ends apart: the one that is called is charged."""
    found = ends(shop, usual, edge("shop", 2, 900))
    assert found.caller == {"shop": 0.0}
    assert found.callee_share(edge("shop", 2, 900), ["price", "shop", "stock"]) == 1.0


def test_sender_that_holds_its_calls_is_charged(shop, usual):
    """Where the time is lost before a call arrives, its only caller is the more suspicious."""
    found = ends(shop, usual, edge("shop", 2, 900, sender=1.0))
    assert found.callee_share(edge("shop", 2, 900), ["price", "shop", "stock"]) < 0.5


def test_slow_connecting_to_one_service_of_several_is_not_the_callers(shop, usual):
    """Calls to one service begin late and those to another as ever: the way to that one holds them."""
    late = edge("shop", 2, 900, sender=1.0)
    services = ["price", "shop", "stock"]
    assert ends(shop, usual, late, edge("shop", 0, 2)).callee_share(late, services) > 0.5
    other = edge("shop", 0, 2)
    few = replace(other, rows=other.rows[:1], values_ns=other.values_ns[:1])
    assert ends(shop, usual, late, few).callee_share(late, services) < 0.5  # chance would miss one call
    met = edge("shop", 0, 900, sender=1.0)
    assert ends(shop, usual, late, met).callee_share(late, services) < 0.5


def test_both_ends_are_named_where_nothing_tells_them_apart(shop, causes):
    """The only calls of a service arrive late: it or what it calls holds them, and the text says where."""
    for _ in range(20):
        shop.trace(gap_ms=80)
    first, second = causes()[:2]
    assert (first["service"], second["service"]) == ("shop", "stock")
    assert first["evidence"][0]["text"].startswith("call waits 80 ms before its call reaches stock, usually")


def test_two_senders_are_not_slow_by_chance(shop, usual):
    """Where two callers lose it in the same way, what they call is."""
    found = ends(shop, usual, edge("shop", 2, 900, sender=1.0), edge("price", 2, 900, sender=1.0))
    assert found.callee_share(edge("shop", 2, 900), ["price", "shop", "stock"]) > 0.5


def test_slowdown_shrinks_with_few_samples():
    """r is log(501/3) for many spans, less for few, 0 without a baseline and never negative."""
    slow = np.full(1000, 500 * MS)
    many = Sketch.of(np.full(10_000, 2 * MS))
    assert np.isclose(slowdown(slow, many)[0], np.log(501 / 3), rtol=0.01)
    assert 0 < slowdown(slow[:2], many)[0] < slowdown(slow[:10], many)[0]
    assert slowdown(slow, Sketch.of([])) == (0.0, 0.0)
    assert slowdown(np.full(10, 1.0 * MS), many) == (0.0, 0.0)


def test_effect_does_not_depend_on_the_number_of_spans():
    """The gates give the same answer for one span and for a hundred."""
    few, many = Sketch.of([1.0 * MS] * 5), Sketch.of([1.0 * MS] * 5_000)
    effects = [slowdown(np.full(n, 200.0 * MS), usual)[1] for n in (1, 100) for usual in (few, many)]
    assert np.allclose(effects, np.log(201 / 2), rtol=0.01)


def paused(callee: int, gaps_ms: list[float], usual: Sketch = USUAL) -> Slow:
    """Calls of `shop`, as a pause of it would show them."""
    values = np.array(gaps_ms) * MS
    ratio, effect = slowdown(values, usual)
    key = Operation("shop", f"call {callee}", "CLIENT")
    return Slow(key, np.arange(len(values)), values, usual, ratio, ratio, effect, effect, callee)


def test_a_pause_that_meets_all_calls_is_the_callers(shop, usual):
    """Calls of both services take 300 ms more, of one of them more often: still it is the caller."""
    found = ends(shop, usual, paused(0, [2, 2, 2, 310]), paused(2, [2, 300, 320, 330]))
    worst = paused(2, [2, 300, 320, 330])
    assert found.callee_share(worst, ["price", "shop", "stock"]) < 0.5


def test_delays_that_a_caller_always_had_are_no_pause(shop, usual):
    """Where one service usually takes as long, a second slow one is that service's own."""
    always = Sketch.of([2 * MS] * 95 + [400 * MS] * 5)
    found = ends(shop, usual, paused(0, [2, 2, 2, 310], always), paused(2, [2, 300, 320, 330]))
    assert found.callee_share(paused(2, [2, 300, 320, 330]), ["price", "shop", "stock"]) > 0.5


def test_one_slow_service_of_two_is_no_pause(shop, usual):
    """Delays of the calls to one service alone lie on the way to it."""
    found = ends(shop, usual, paused(0, [2, 2, 2, 2]), paused(2, [2, 300, 320, 330]))
    assert found.callee_share(paused(2, [2, 300, 320, 330]), ["price", "shop", "stock"]) > 0.5


def test_a_caller_that_is_slow_itself_waits_late(shop, usual):
    """A starved process is late in its own work and in what it waits for: its only callee is no cause,
    unless it lost far more on the way there than in its own work."""
    slow = edge("shop", 2, 900)
    services = ["price", "shop", "stock"]
    starved = ends(shop, usual, slow, by_itself=(own("shop", 700), own("stock", 2)))
    assert starved.callee_share(slow, services) < 0.5
    barely = ends(shop, usual, slow, by_itself=(own("shop", 90),))
    assert barely.callee_share(slow, services) == 1.0
