import pytest

from llm.checks.figures import find_numbers


def all_match(text: str, support: str) -> bool:
    """Whether each number of `text` is one of `support`."""
    known = find_numbers(support)
    return all(any(number.matches(other) for other in known) for number in find_numbers(text))


@pytest.mark.parametrize(
    ("text", "support"),
    [("took 152 ms", "took 152 ms"), ("took 0.152 s", "152 ms"), ("took 152.4 ms", "152 ms"),
     ("84 percent", "84%"), ("84%", "84%"), ("1,250 samples", "n = 1,250"), ("900 μs", "900 µs"),
     ("149x slower", "149×"), ("150 BTC", "150 BTC"), ("0.90 ms", "900 µs")],
)  # fmt: skip
def test_supported(text: str, support: str) -> None:
    """The same quantity in another unit or rounding is supported."""
    assert all_match(text, support)


@pytest.mark.parametrize(
    ("text", "support"),
    [("took 250 ms", "took 152 ms"), ("152 s", "152 ms"), ("1 s", "600 ms"), ("48%", "84%"), ("84 ms", "84%"),
     ("150 ETH", "150 BTC"), ("took 152 ms", "n = 152"), ("7 replicas", "SEV2"), ("took 152 ms", "")],
)  # fmt: skip
def test_unsupported(text: str, support: str) -> None:
    """Another value, another unit or another asset is not supported."""
    assert not all_match(text, support)
