from __future__ import annotations

import random
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llm.redaction.redact import is_clean, redact_again, redact_text

FOLDER = Path(__file__).parent / "redaction"
TEXTS = [
    line
    for name in ("plain", "secrets")
    for line in (FOLDER / f"{name}.txt").read_text().splitlines()
    if line
]


def test_the_quick_way_gives_the_same() -> None:
    """Over the labelled texts, also with other digits, the quick way redacts what the long one does."""
    dice = random.Random(7)
    for text in TEXTS:
        for _ in range(3):
            other = re.sub(r"\d", lambda _: dice.choice("0123456789"), text)
            for said in (text, other):
                assert redact_again(said) == redact_text(said)


PARTS = [
    "152", " ", "-", ".", "/", ":", "ms", "4111", "1111", "call ", "+", "(", ")", "DE89", "3704", "otp ",
    "at ",
    "n = ", "1,234", "6.4σ", "2026-10-26 07:33:20 UTC", "%", "@", "10", "0", "192", "=", "x", "ssn ", ", ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_no_figure_hides_a_secret(parts: list[str]) -> None:
    """Whatever figures stand beside each other, a text that is taken as clean is one."""
    text = "".join(parts)
    if is_clean(text):
        assert redact_text(text) == text
