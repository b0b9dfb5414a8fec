import pytest

from llm.analysis.units import duration, percent, quantity, significant


@pytest.mark.parametrize(
    ("value_ns", "shown"),
    [(0, "0 ns"), (999, "999 ns"), (999_999, "1 ms"), (152_400_000, "152 ms"), (1.5e9, "1.5 s"),
     (119e9, "119 s"), (121e9, "2.02 min"), (3 * 3600e9, "3 h"), (-5e6, "-5 ms")],
)  # fmt: skip
def test_duration(value_ns: float, shown: str) -> None:
    """A duration has three significant figures and the unit that fits, also at the edges of units."""
    assert duration(value_ns) == shown


def test_large_amounts_keep_their_digits() -> None:
    """An amount is not rounded to three figures above a thousand: money is read exactly."""
    assert quantity(1_234_567, "USD") == "1,234,567 USD"


def test_nearly_all_is_not_all() -> None:
    """99.8% is shown as 99%, never as 100%."""
    assert (percent(0.998), percent(1.0), percent(0.0)) == ("99%", "100%", "0%")


def test_not_finite() -> None:
    """Infinity is shown, not raised."""
    assert significant(float("inf")) == "inf"
