from __future__ import annotations

import pytest

from llm.reviews.agreement import MIN_SHARED, agreement, cohen_kappa, krippendorff_alpha

# Four observers, twelve units, values 1 to 5: the example of Krippendorff (2011), section C; "." is missing.
A = "1 2 3 3 2 1 4 1 2 . . ."
B = "1 2 3 3 2 2 4 1 2 5 . 3"
C = ". 3 3 3 2 3 4 2 2 5 1 ."
D = "1 2 3 3 2 4 4 1 2 5 1 ."
UNITS = [[v for v in unit if v != "."] for unit in zip(*(row.split() for row in (A, B, C, D)), strict=True)]


def test_alpha_of_the_published_example() -> None:
    """α of Krippendorff's example is his .743 as nominal and .815 as ordinal data."""
    assert krippendorff_alpha(UNITS, "12345", ordinal=False) == pytest.approx(0.743, abs=0.001)
    assert krippendorff_alpha(UNITS, "12345") == pytest.approx(0.815, abs=0.001)


def test_kappa_of_a_known_table() -> None:
    """κ of Cohen's two-by-two table is .4; with weights a near miss counts less than a far one."""
    table = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert cohen_kappa(table, "abc") == pytest.approx(0.4)
    near = [("a", "a"), ("b", "b"), ("c", "c"), ("a", "b")] * 5
    far = [("a", "a"), ("b", "b"), ("c", "c"), ("a", "c")] * 5
    near_kappa, far_kappa = cohen_kappa(near, "abc", weighted=True), cohen_kappa(far, "abc", weighted=True)
    assert near_kappa is not None
    assert far_kappa is not None
    assert near_kappa > far_kappa


def test_withheld_when_small() -> None:
    """Below twenty shared explanations there is no figure but the reason; from twenty on there is one."""
    said = {f"e{n}": {"ann": "right" if n % 3 else "wrong", "bob": "right"} for n in range(MIN_SHARED)}
    said["e0"]["bob"] = "wrong"
    few = agreement(dict(list(said.items())[:-1]))
    assert few.pairs[0].kappa is None
    assert few.all.alpha is None
    assert few.pairs[0].withheld == few.all.withheld == "19 shared explanations, fewer than 20"
    enough = agreement(said)
    assert enough.pairs[0].kappa is not None
    assert enough.all.alpha is not None
    assert enough.pairs[0].withheld == enough.all.withheld == ""


def test_one_word_only() -> None:
    """Where all verdicts are the same, chance would agree as well: the figure is withheld."""
    said = {f"e{n}": {"ann": "right", "bob": "right"} for n in range(MIN_SHARED)}
    pair = agreement(said).pairs[0]
    assert (pair.agreed_count, pair.kappa) == (MIN_SHARED, None)
    assert "the same" in pair.withheld
