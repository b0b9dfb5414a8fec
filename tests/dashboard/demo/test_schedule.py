from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import InvalidInput
from dashboard.demo import schedule


@given(st.floats(min_value=schedule.SHORTEST_RUN_S, max_value=3600))
def test_every_run_that_is_long_enough_has_both_faults(run_s: float) -> None:
    """Each kind is injected, after the learning time and with time left to see it."""
    faults = schedule.plan(run_s, seed=1)["faults"]
    assert isinstance(faults, list)

    assert {fault["kind"] for fault in faults} == {"db_slow", "whale_order"}
    starts = [fault["at_s"] for fault in faults]
    assert starts == sorted(starts)
    assert starts[0] >= schedule.LEARN_S
    assert all(fault["at_s"] + fault.get("for_s", 0) + schedule.LAST_CALL_S <= run_s for fault in faults)


def test_a_run_that_is_too_short_is_refused() -> None:
    """The error names the shortest run."""
    with pytest.raises(InvalidInput, match="at least 35s"):
        schedule.plan(10, seed=1)


def test_without_an_end_the_faults_go_on_for_hours() -> None:
    """Whoever watches for an hour sees them come round again."""
    faults = schedule.plan(None, seed=1)["faults"]
    assert isinstance(faults, list)

    assert len([fault for fault in faults if fault["at_s"] < 3600]) > 100
