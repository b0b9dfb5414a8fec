import pytest

from collector.errors import InvalidInput
from datasets.export.since import parse_since

NOW = 1_793_000_000_000_000_000
S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90m", NOW - 5400 * S), ("7d", NOW - 604_800 * S), ("2026-11-03", 1_793_664_000 * S),
     ("2026-11-03T12:00Z", 1_793_707_200 * S), ("2026-11-03T12:00:00+02:00", 1_793_700_000 * S)],
)  # fmt: skip
def test_times(text: str, expected: int) -> None:
    """Durations count back from now; times without a zone are UTC."""
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "", "-5m", "5y", "2026-13-01"])
def test_no_time(text: str) -> None:
    """Texts that are no time are refused with examples."""
    with pytest.raises(InvalidInput, match="90m"):
        parse_since(text, NOW)
