import pytest

from exchange_ref.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("2m", 120), ("500ms", 0.5), ("1h", 3600), ("1.5 s", 1.5), ("45", 45)]
)
def test_reads_units(text: str, seconds: float) -> None:
    """Each unit is seconds times its factor, and a bare number is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "0s", "10 days", "1e3s", "nan"])
def test_refuses_what_is_no_duration(text: str) -> None:
    """Texts that are no time above zero are refused, and the message repeats them."""
    with pytest.raises(ValueError, match="is not a"):
        parse_duration(text)
