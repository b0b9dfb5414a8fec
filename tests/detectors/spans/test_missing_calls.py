"""Calls that a part of the requests make, and now hardly any."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.model.anomaly import STRUCTURE, Anomaly
from detectors.pipeline.detector_set import DetectorSet
from detectors.settings import Settings
from detectors.spans.call_structure import StructureWatch
from tests.detectors.world import MS, SCHEMA, START_NS, S, table

CHILDLESS = {"trace_id": "t", "span_id": "s", "start_unix_nano": START_NS, "duration_ns": MS}


class Shop:
    """Five orders a second; each asks for the price, and `paying` of them for a payment. Payments ticks."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set = DetectorSet(store, Baselines(Settings()), Settings(), 0.0)
        self.watch: Any = next(d for d in self.set.detectors if isinstance(d, StructureWatch))
        monkeypatch.setattr(self.watch, "_find_childless", lambda *_: [CHILDLESS])
        self.rng, self.at_s = np.random.default_rng(1), START_NS // S

    def run(self, seconds: int, paying: float, *, lost: Collection[str] = ()) -> list[Anomaly]:
        """What is said of calls; nothing of services in `lost` arrives."""
        found: list[Anomaly] = []
        for _ in range(seconds):
            rows = [row for number in range(5) for row in self._order(number, paying)]
            rows.append({**rows[0], "service_name": "payments", "operation": "tick", "parent_hash": 0})
            rows[-1] |= {"span_id": f"{self.at_s:016x}", "parent_span_id": None, "span_hash": self.at_s}
            spans = table([row for row in rows if row["service_name"] not in lost])
            found += self.set.observe(self.set.step(spans, float(self.at_s))).new
            self.at_s += 1
        return [anomaly for anomaly in found if anomaly.detector == STRUCTURE]

    def _order(self, number: int, paying: float) -> list[dict[str, object]]:
        trace = (self.at_s * 5 + number) * 10
        pays = self.rng.random() < paying
        calls = [("price", 1), *([("payments", 2)] if pays else []), ("web", 0)]
        return [
            {
                **dict.fromkeys(SCHEMA.names),
                "trace_id": f"{trace:032x}",
                "span_id": f"{trace + place:016x}",
                "parent_span_id": f"{trace:016x}" if place else None,
                "service_name": service,
                "operation": "buy" if service == "web" else "ask",
                "span_kind": "SERVER",
                "start_unix_nano": self.at_s * S + number * 100 * MS + place,
                "duration_ns": 5 * MS,
                "failed": False,
                "span_hash": trace + place + 1,
                "parent_hash": trace + 1 if place else 0,
                "producer_hash": 0,
            }
            for service, place in calls
        ]


@pytest.fixture
def shop(store: Store, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(store, monkeypatch)


def test_call_that_half_of_the_requests_make_is_missed_once(shop):
    """Hardly anybody pays, while payments is heard of otherwise: told once, mildly, and no incident."""
    assert shop.run(150, paying=0.5) == []
    began = shop.at_s
    (said,) = shop.run(40, paying=0.02)
    assert (said.details["rule"], said.details["child_service"]) == ("fewer", "payments")
    assert said.severity >= 4
    assert said.shift_sigma == 0.0
    assert "made no call of ask, which" in said.text
    stretches = shop.watch.missing.forgone
    assert {stretch.callee[0].service_name for stretch in stretches} == {"payments"}
    assert all(stretch.until_unix_nano > began * S for stretch in stretches)
    assert shop.run(40, paying=0.5) == []


def test_service_that_nobody_hears_of_is_not_said_to_be_called_less(shop):
    """Its exporter may have given up: that it is silent is told as such; traces belong to that time."""
    assert shop.run(150, paying=0.5) == []
    assert shop.run(40, paying=0.5, lost={"payments"}) == []
    assert shop.watch.missing.forgone


def test_calls_that_go_up_and_down_are_not_missed(shop):
    """Between three and seven of ten requests pay: no stretch, and nothing is said."""
    assert [shop.run(60, paying=share) for share in (0.5, 0.3, 0.7, 0.3, 0.5, 0.7)] == [[]] * 6
    assert not shop.watch.missing.forgone
