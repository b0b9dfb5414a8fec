from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.localise.behaviour import deviations, signed_root
from detectors.localise.evidence.structure import structure_events
from detectors.localise.traces import Traces


def z(k: int, n: int, usual_k: int, usual_n: int) -> float:
    return float(signed_root(*(np.array([value]) for value in (k, n, usual_k, usual_n)))[0])


def test_signed_root_known_values():
    """2·40·H(0.6) nats for 24 of 24 against 0 of 16; and one span of one says nothing."""
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    assert z(24, 24, 0, 16) == pytest.approx(np.sqrt(2 * 40 * entropy))
    assert z(1, 1, 600, 600) == 0.0
    assert abs(z(0, 1, 300, 600)) < 1.3


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_signed_root_is_antisymmetric_and_signed(k, more, usual_k, usual_more):
    """Swapping now and usual changes only the sign, which is that of the difference of the shares."""
    n, usual_n = k + more + 1, usual_k + usual_more + 1
    value = z(k, n, usual_k, usual_n)
    assert value == pytest.approx(-z(usual_k, usual_n, k, n), abs=1e-6)
    assert np.sign(round(value, 9)) == np.sign(k * usual_n - usual_k * n) or abs(value) < 1e-3


def test_missing_call_is_the_callers_own(shop, usual):
    """A call that is no longer made deviates at the operation that made it, and nowhere else."""
    for _ in range(10):
        shop.trace(priced=False)
    traces = Traces.of(shop.span_table(), usual)
    found = deviations(traces, [structure_events(traces)])
    assert [(traces.keys[d.operation].operation, d.label, d.more, d.own) for d in found] == [
        ("api", "ask in stock", False, 1.0)
    ]


def test_explained_by_a_service_below(shop, usual):
    """A caller that deviates in the same traces as a service below it is explained by that service."""
    for _ in range(10):
        trace_id = shop.trace(priced=False)
        shop.spans.append(
            {
                **shop.spans[-4],
                "span_id": f"x{trace_id}",
                "parent_span_id": f"a{trace_id}",
                "operation": "give up",
            }
        )
    traces = Traces.of(shop.span_table(), usual)
    found = {
        (traces.keys[d.operation].operation, d.label): d.own
        for d in deviations(traces, [structure_events(traces)])
    }
    assert found["api", "ask in stock"] == 1.0
    assert found["web", "give up in shop"] == 0.0
