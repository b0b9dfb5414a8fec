"""A chain of services goes silent: one alarm, at its head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.model.anomaly import SILENCE, Anomaly
from detectors.pipeline.detector_set import DetectorSet
from detectors.settings import Settings
from tests.detectors.world import MS, START_NS, S, Traffic, table

LEARNED_S, SILENT_S = 320, 60
SHOP = 12
# place in a request: (the span above it, service, operation, kind)
CHAIN = (
    (0, "edge", "GET /a", "SERVER"),
    (1, "edge", "ask middle", "CLIENT"),
    (2, "middle", "GET /b", "SERVER"),
    (3, "middle", "ask end", "CLIENT"),
    (4, "end", "GET /c", "SERVER"),
)


class Chains:
    """Two requests each second: edge → middle → end; and a shop of many operations that goes on."""

    def __init__(self, store: Store) -> None:
        self.set = DetectorSet(store, Baselines(Settings()), Settings(), 0.0)
        self.shop = Traffic()
        self.rng = np.random.default_rng(2)
        self.at_s = 0

    def live(self, seconds: int, *, lost: int = 9, asked: int = 0, every_s: int = 0) -> list[Anomaly]:
        """The silences that were found.

        Args:
            lost: the place in the chain from which on no span comes.
            every_s: requests come so far apart, instead of two a second.
            asked: how often somebody without spans asks the end in each second.
        """
        found: list[Anomaly] = []
        for second in range(seconds):
            rows: list[dict[str, object]] = []
            requests = int(self.rng.poisson(2.0)) if not every_s else second % every_s == 0
            for number in range(requests):
                self._request(rows, number, CHAIN[: lost - 1])
            for number in range(20, 20 + asked):
                self._request(rows, number, [(0, *CHAIN[4][1:])])
            for number in range(40, 40 + SHOP):
                self._request(rows, number, [(0, "shop", f"GET /{number}", "SERVER")])
            step = self.set.step(table(rows), float(self.at_s))
            found += [a for a in self.set.observe(step).new if a.details.get("rule") == SILENCE]
            self.at_s += 1
        return found

    def _request(
        self, rows: list[dict[str, object]], number: int, spans: Sequence[tuple[int, str, str, str]]
    ) -> None:
        add = self.shop.adder(rows, self.at_s * 100 + number)
        start = START_NS + self.at_s * S + number * 10 * MS
        for place, (above, service, name, kind) in enumerate(spans, start=1):
            add(place, above, service, name, kind, start + place * MS, (20 - place) * MS)


@pytest.fixture
def chains(store: Store) -> Chains:
    return Chains(store)


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        (1, {("edge", "GET /a")}),  # nobody asks any more
        (2, {("edge", "ask middle")}),  # the edge no longer asks
        (3, {("middle", "GET /b")}),  # the middle is dead, and is still asked
        (5, {("end", "GET /c")}),
    ],
)
def test_the_head_of_a_silent_chain_is_told(chains, lost, named):
    """What only silent operations call is silent because of them."""
    assert chains.live(LEARNED_S) == []
    found = chains.live(SILENT_S, lost=lost)
    assert {(a.service_name, a.operation) for a in found} == named
    assert len(found) == 1
    assert chains.live(50) == []


def test_what_others_ask_too_is_dead_itself(chains):
    """The end gets two of three calls from elsewhere: that its caller is silent explains no silence of it."""
    assert chains.live(LEARNED_S, asked=4) == []
    found = chains.live(SILENT_S, lost=1, asked=4)
    assert {(a.service_name, a.operation) for a in found} == {("edge", "GET /a")}
    dead = chains.live(SILENT_S, lost=1)
    assert {(a.service_name, a.operation) for a in dead} == {("end", "GET /c")}


def test_a_rarely_called_service_that_stops_is_told(chains):
    """Twenty of its calls need nearly two minutes."""
    assert chains.live(LEARNED_S, every_s=4) == []
    found = chains.live(130, lost=3, every_s=4)
    assert [(a.service_name, a.operation) for a in found] == [("middle", "GET /b")]
    assert " in 110 s, usually" in found[0].details["text"]
