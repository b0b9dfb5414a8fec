"""Short-term price models over one pair's own candles, and how good they really are. Pure.

Price, volume of 24 hours and relative strength are held against the move of the next minute. Scores are of
the last third of the candles, which the scored models have not seen; those that answer are fitted to all. On
a random walk they are no better than `baseline`, and the scores say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exchange_ref.market.price_models import RSI_MINUTES, TREES, Model, Score

DAY_MINUTES: Final = 24 * 60
TRAINED_SHARE: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class Fitted:
    mean_price: float
    models: dict[Model, Any]
    scores: dict[Model, Score]

    def move_percent(self, model: Model, price: float, volume_24h: float, rsi: float) -> float:
        """The expected move of the next minute."""
        row = np.array([_features(price / self.mean_price, volume_24h, rsi)])
        return float(self.models[model].predict(row)[0])


def fit(closes: Sequence[float], volumes: Sequence[float], trees: int = TREES) -> Fitted:
    """
    Args:
        closes: of minutes in their order, `volumes` beside them; `MIN_MINUTES` or more.
    """
    prices: Any = np.asarray(closes)
    mean_price = float(prices.mean())
    strengths: Any = relative_strength(prices)
    sums = np.concatenate([[0.0], np.cumsum(volumes)])
    minutes: Any = np.arange(RSI_MINUTES, len(prices) - 1)
    rows = np.array(
        [
            _features(
                prices[minute] / mean_price,
                sums[minute + 1] - sums[max(0, minute + 1 - DAY_MINUTES)],
                strengths[minute],
            )
            for minute in minutes
        ]
    )
    moves = (prices[minutes + 1] / prices[minutes] - 1) * 100
    cut = int(len(moves) * TRAINED_SHARE)
    scores = {
        model: _score(_made(model, trees).fit(rows[:cut], moves[:cut]), rows[cut:], moves, cut)
        for model in Model
    }
    return Fitted(mean_price, {model: _made(model, trees).fit(rows, moves) for model in Model}, scores)


def relative_strength(prices: Any) -> Any:
    """RSI of 14 minutes by plain means: 100 where it only rose, 50 where it stood still."""
    moves = np.diff(prices, prepend=prices[0])
    kernel = np.ones(RSI_MINUTES)
    rises = np.convolve(np.clip(moves, 0, None), kernel)[: len(moves)]
    falls = np.convolve(np.clip(-moves, 0, None), kernel)[: len(moves)]
    total = rises + falls
    return np.where(total > 0, 100 * rises / np.where(total > 0, total, 1), 50.0)


def _features(price: float, volume_24h: float, rsi: float) -> list[float]:
    return [price - 1, math.log1p(volume_24h), rsi]


def _made(model: Model, trees: int) -> Any:
    if model is Model.LINEAR:
        return make_pipeline(StandardScaler(), LinearRegression())
    return RandomForestRegressor(trees, min_samples_leaf=5, random_state=0, n_jobs=1)


def _score(fitted: Any, rows: Any, moves: Any, cut: int) -> Score:
    told, trained, tested = fitted.predict(rows), moves[:cut], moves[cut:]
    usual = np.full(len(tested), trained.mean())
    rises_mostly = (trained > 0).mean() >= 0.5
    return Score(
        r2=float(r2_score(tested, told)),
        error_percent=float(mean_absolute_error(tested, told)),
        hits=float(((told > 0) == (tested > 0)).mean()),
        baseline_error_percent=float(mean_absolute_error(tested, usual)),
        baseline_hits=float(((tested > 0) == rises_mostly).mean()),
        trained=cut,
        tested=len(tested),
    )
