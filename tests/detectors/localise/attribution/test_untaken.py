"""Services that die and come back within seconds: what waited for them is laid to them."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pytest

from datasets.evaluate.incidents import IncidentFolder
from detectors.baseline.learn import learn_traces
from detectors.baseline.models import Baselines
from detectors.baseline.settled import SettledTraces
from detectors.localise import Usual, localise
from detectors.settings import Settings
from tests.datasets.evaluate.returns import FAULTS, write_orders


@pytest.fixture(scope="module")
def causes(tmp_path_factory) -> dict[str, list[dict[str, Any]]]:
    """By fault who is named, best first."""
    rate = lambda at_s: 3.0 if at_s < 100 else 0.8  # noqa: E731  # few orders: the test is quick
    path = write_orders(tmp_path_factory.mktemp("orders"), seed=5, rate=rate, learned_s=100)
    with IncidentFolder.open(path) as folder:
        learned = folder.baseline_spans()
        baselines = Baselines(Settings())
        learn_traces(SettledTraces.of(learned), baselines)
        some = pc.is_in(learned["trace_id"], value_set=pc.unique(learned["trace_id"])[:300])
        usual = Usual(baselines.self_times, baselines.edge, learned.filter(some))
        found = {}
        for case in folder.case_ids():
            spans = folder.case_spans(case)
            found[case] = localise(spans, usual, attributes=folder.attributes(spans))
        return found


@pytest.mark.parametrize("fault", FAULTS)
def test_who_was_away_is_named_first(causes, fault):
    assert causes[fault][0]["service"] == FAULTS[fault][1]


def test_the_wait_is_told(causes):
    texts = [item["text"] for item in causes["queue gives up"][0]["evidence"]]
    assert any(text.startswith("commands send waited") and "s for matcher, usually" in text for text in texts)
    assert any("while replies receive in orders waits for it" in t and "gave up" in t for t in texts)


def test_a_pause_between_tries_is_a_wait(causes):
    texts = [item["text"] for item in causes["call refused"][0]["evidence"]]
    assert any("POST /orders waited" in text and "for risk" in text for text in texts)
