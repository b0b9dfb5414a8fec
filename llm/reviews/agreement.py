"""How far reviewers agree beyond chance: Cohen's κ for two, Krippendorff's α for any number.

Verdicts are an ordinal scale (right, partly_right, wrong). Sources: J. Cohen, "A coefficient of agreement for
nominal scales" (1960) and "Weighted kappa" (1968); K. Krippendorff, "Computing Krippendorff's
Alpha-Reliability" (2011), with its ordinal metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from llm.reviews.verdict import VERDICTS

# With fewer, chance decides more than the reviewers: of two whose true κ is .6, 20 shared cases
# give a κ between .26 and .90 in 95 of 100 draws, 10 between .05 and 1.
MIN_SHARED = 20

FloatArray = npt.NDArray[np.float64]


class Kappa(BaseModel):
    """Of two reviewers over `shared_count` explanations; None with the reason why it is withheld."""

    raters: tuple[str, str]
    shared_count: int
    agreed_count: int
    kappa: float | None
    weighted_kappa: float | None
    withheld: str


class Alpha(BaseModel):
    """Of all reviewers over the explanations that at least two of them judged."""

    rater_count: int
    shared_count: int
    verdict_count: int
    alpha: float | None
    withheld: str


class Agreement(BaseModel):
    min_shared: int
    pairs: list[Kappa]
    all: Alpha


def agreement(verdicts: Mapping[str, Mapping[str, str]]) -> Agreement:
    """
    Args:
        verdicts: explanation → reviewer → verdict.
    """
    raters = sorted({rater for said in verdicts.values() for rater in said})
    pairs = [_pair(one, other, verdicts) for one, other in combinations(raters, 2)]
    shared = [list(said.values()) for said in verdicts.values() if len(said) > 1]
    alpha, withheld = None, _too_few(len(shared))
    if not withheld:
        alpha = krippendorff_alpha(shared, VERDICTS)
        withheld = "" if alpha is not None else _ALIKE
    return Agreement(
        min_shared=MIN_SHARED,
        pairs=[pair for pair in pairs if pair.shared_count],
        all=Alpha(
            rater_count=len({rater for said in verdicts.values() if len(said) > 1 for rater in said}),
            shared_count=len(shared),
            verdict_count=sum(map(len, shared)),
            alpha=alpha,
            withheld=withheld,
        ),
    )


_ALIKE = "all verdicts are the same, so agreement cannot be separated from chance"


def _pair(one: str, other: str, verdicts: Mapping[str, Mapping[str, str]]) -> Kappa:
    said = [(v[one], v[other]) for v in verdicts.values() if one in v and other in v]
    kappa = weighted = None
    withheld = _too_few(len(said))
    if not withheld:
        kappa, weighted = cohen_kappa(said, VERDICTS), cohen_kappa(said, VERDICTS, weighted=True)
        withheld = "" if kappa is not None else _ALIKE
    return Kappa(
        raters=(one, other),
        shared_count=len(said),
        agreed_count=sum(first == second for first, second in said),
        kappa=kappa,
        weighted_kappa=weighted,
        withheld=withheld,
    )


def _too_few(shared: int) -> str:
    return f"{shared} shared explanations, fewer than {MIN_SHARED}" if shared < MIN_SHARED else ""


def cohen_kappa(
    pairs: Sequence[tuple[str, str]], scale: Sequence[str], *, weighted: bool = False
) -> float | None:
    """κ = 1 - observed / expected disagreement; None where chance alone leaves none.

    Args:
        weighted: disagreement grows with the square of the distance on `scale`; else it is all or nothing.

    >>> cohen_kappa([("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15, "ab")
    0.4
    """
    counts = np.zeros((len(scale), len(scale)))
    for first, second in pairs:
        counts[scale.index(first), scale.index(second)] += 1
    ranks = np.arange(len(scale), dtype=np.float64)
    distance = (ranks[:, None] - ranks) ** 2 if weighted else 1 - np.eye(len(scale))
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), 1)
    return _one_minus(float((distance * counts).sum()), float((distance * expected).sum()))


def krippendorff_alpha(
    units: Iterable[Sequence[str]], scale: Sequence[str], *, ordinal: bool = True
) -> float | None:
    """α = 1 - observed / expected disagreement over all pairs within units; None where none is expected.

    Args:
        units: the values that each unit was given, in any order; a unit with one value does not count.
    """
    coincidences = np.zeros((len(scale), len(scale)))
    for values in units:
        if len(values) < 2:
            continue
        counts = np.bincount([scale.index(value) for value in values], minlength=len(scale)).astype(float)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(values) - 1)
    totals = coincidences.sum(axis=0)
    if totals.sum() < 2:
        return None
    distance = _ordinal(totals) if ordinal else 1 - np.eye(len(scale))
    expected = np.outer(totals, totals) / (totals.sum() - 1)
    return _one_minus(float((distance * coincidences).sum()), float((distance * expected).sum()))


def _ordinal(totals: FloatArray) -> FloatArray:
    """δ² of two ranks: how many values lie between them, each end counted half, squared."""
    below = np.concatenate(([0.0], np.cumsum(totals)))
    middle = (below[:-1] + below[1:]) / 2
    distance: FloatArray = (middle[:, None] - middle) ** 2
    return distance


def _one_minus(observed: float, expected: float) -> float | None:
    return round(1 - observed / expected, 4) if expected > 0 else None
