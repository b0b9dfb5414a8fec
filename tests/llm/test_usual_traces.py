from __future__ import annotations

from typing import Any

import pytest

from llm.explanation import Subject
from tests.llm.support import SLOW_TRACE

SCORE = """
INSERT INTO trace_scores
SELECT ?, make_timestamp_ns(0), ?, 0, 0, '', 'checkout', 'SELECT carts', '', 3, make_timestamp_ns(0)
"""


@pytest.fixture
def told(shop: Any, explainer: Any) -> Any:
    """Explains the trace of 180 ms; its operations take up to `sigma3_ms` without a fault."""
    shop.usual()
    shop.slow_trace()

    def explain(*, sigma3_ms: float, trace_sigma: float | None = None) -> Any:
        with shop.store.transaction() as con:
            con.execute("UPDATE baselines SET sigma3_ns = ?", [sigma3_ms * 1e6])
            con.execute("DELETE FROM trace_scores")
            if trace_sigma is not None:
                con.execute(SCORE, [SLOW_TRACE, trace_sigma])
        return explainer.analyse(Subject(kind="trace", id=SLOW_TRACE), refresh=True)

    return explain


@pytest.mark.parametrize("trace_sigma", [None, 2.9])
def test_a_usual_trace_has_no_cause(told: Any, trace_sigma: float | None) -> None:
    """Some operation always takes more than its median; where its time went stays a fact."""
    explanation = told(sigma3_ms=200, trace_sigma=trace_sigma)
    assert not explanation.root_causes
    assert explanation.summary.startswith("No cause stands out in the trace.")
    assert any("SELECT carts in checkout took 152 ms" in fact.statement for fact in explanation.evidence)


@pytest.mark.parametrize(("sigma3_ms", "trace_sigma"), [(170, None), (200, 3.1), (12, None)])
def test_an_unusual_trace_has_one(told: Any, sigma3_ms: float, trace_sigma: float | None) -> None:
    """A span beyond its 3σ is enough before the trace is judged; then its own score decides."""
    causes = told(sigma3_ms=sigma3_ms, trace_sigma=trace_sigma).root_causes
    assert [cause.operation for cause in causes] == ["SELECT carts"]


def test_a_trace_with_an_anomaly_has_one(shop: Any, told: Any) -> None:
    """A window may be unusual although each of its spans is not."""
    shop.anomaly("an-1", SLOW_TRACE, "0" * 16, "checkout", "SELECT carts", observed=1, expected=1)
    assert told(sigma3_ms=200).root_causes
