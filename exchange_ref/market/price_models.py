"""What the price models are called, need and are worth. Without scikit-learn, which takes a second to import:
only the process that fits them has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RSI_MINUTES: Final = 14
MIN_EXAMPLES: Final = 30
# An example needs the strength of the minutes before it and the move of the one after it.
MIN_MINUTES: Final = MIN_EXAMPLES + RSI_MINUTES + 1
TREES: Final = 100


class Model(StrEnum):
    LINEAR = "linear"
    FOREST = "forest"


@dataclass(frozen=True, slots=True)
class Score:
    """Of minutes that the scored model had not seen. `r2` and errors are of moves in percent; `hits` is the
    share of moves whose direction was right. `baseline` says always what most trained moves were: their mean,
    and their direction."""

    r2: float
    error_percent: float
    hits: float
    baseline_error_percent: float
    baseline_hits: float
    trained: int
    tested: int
