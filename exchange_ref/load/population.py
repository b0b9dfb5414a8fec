"""Traders besides retail: makers, arbitrageurs, whales, gamblers. Each kind decides its next order.

Pure: what they know of the market comes as a `View`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exchange_ref.cfd.words import TradeSide
from exchange_ref.engine.instruments import Pair
from exchange_ref.engine.orders import Side

MAKERS: Final = ("maker-1", "maker-2")
ARBITRAGEURS: Final = ("arbitrage-1", "arbitrage-2")
WHALES: Final = ("holder-1", "holder-2", "holder-3")
GAMBLERS: Final = ("gambler-1", "gambler-2", "gambler-3", "gambler-4")
SPECIALISTS: Final = (*MAKERS, *ARBITRAGEURS, *WHALES, *GAMBLERS)

# Makers quote so many levels on each side, a step apart; sizes as multiples of what retail trades.
GRID_LEVELS: Final = 5
GRID_STEP: Final = 0.0004
MAKER_SIZE: Final = 2.0
# How much of the base a maker takes on, more or less than at the beginning, as a multiple of its own orders.
INVENTORY_LIMIT_ORDERS: Final = 50.0
# A gap to the outside market that pays for fees and trouble.
WORTHWHILE_GAP: Final = 0.0003
ARBITRAGE_SIZE: Final = 1.0
# ln-scale: ±3 sigma are six orders of magnitude.
WHALE_SIGMA: Final = 2.3
WHALE_SIZE: Final = 20.0
# Whales mostly ask for a price that the market has not got.
WHALE_DISTANCE: Final = (0.002, 0.03)

# Gamblers bet several times in a row, mostly with high leverage, and do not wait long for what comes of it.
BETS_IN_A_BURST: Final = (2, 6)
BURST_WITHIN_S: Final = 1.0
LEVERAGES: Final = (5, 10, 20, 50, 100)
BET_MEDIAN_USD: Final = 500.0
BET_SIGMA: Final = 1.0
MEAN_HOLD_S: Final = 5.0
# So many of the bets have a stop and a target, as far away as the price moves within seconds.
LEVELS_SHARE: Final = 0.4
LEVEL_DISTANCE: Final = (0.0001, 0.0006)


@dataclass(frozen=True, slots=True)
class Population:
    """Shares of the orders; what is left is retail. A burst of `gamblers` takes the place of an order."""

    makers: float = 0.0
    arbitrage: float = 0.0
    whales: float = 0.0
    gamblers: float = 0.0


RETAIL: Final = Population()
PROFESSIONAL: Final = Population(makers=0.2, arbitrage=0.06)
MIXED: Final = Population(makers=0.2, arbitrage=0.06, whales=0.004, gamblers=0.01)
POPULATIONS: Final = {"retail": RETAIL, "professional": PROFESSIONAL, "mixed": MIXED}


@dataclass(frozen=True, slots=True)
class View:
    """What a trader can know.

    Args:
        outside: the reference price of a pair in the outside market.
        traded: what the pair was last traded at here.
        gained: how much of the base of a pair a user holds beyond what it began with.
    """

    outside: Callable[[str], float]
    traded: Callable[[str], float]
    gained: Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as somebody wants it, not yet rounded to lots and ticks."""

    user_id: str
    side: Side
    quantity: float
    price: float


@dataclass(frozen=True, slots=True)
class Bet:
    """A leveraged position as somebody wants it.

    Args:
        after_s: how long into the burst.
        hold_s: how long it is held, unless it ends by itself before.
        distance: of stop-loss and take-profit from the price, as a share of it; None without.
    """

    user_id: str
    side: TradeSide
    leverage: int
    margin_usd: float
    after_s: float
    hold_s: float
    distance: float | None


def burst(rng: random.Random) -> list[Bet]:
    """One gambler's bets, one soon after the other, most of them on the same side: losses are doubled up."""
    user_id = rng.choice(GAMBLERS)
    side = rng.choice(tuple(TradeSide))
    after_s = sorted(rng.uniform(0, BURST_WITHIN_S) for _ in range(rng.randint(*BETS_IN_A_BURST)))
    return [
        Bet(
            user_id,
            side if rng.random() < 0.8 else rng.choice(tuple(TradeSide)),
            rng.choice(LEVERAGES),
            BET_MEDIAN_USD * math.exp(rng.gauss(0, BET_SIGMA)),
            moment_s,
            rng.expovariate(1 / MEAN_HOLD_S),
            rng.uniform(*LEVEL_DISTANCE) if rng.random() < LEVELS_SHARE else None,
        )
        for moment_s in after_s
    ]


def maker(rng: random.Random, view: View, pair: Pair, median: float, mid: float) -> Wish:
    """A level of the grid around the price. With inventory the grid moves down and its bids thin out, so that
    it is sold again; beyond the limit only the side that brings it back is quoted."""
    user_id = rng.choice(MAKERS)
    quantity = MAKER_SIZE * median
    skew = view.gained(user_id, pair.symbol) / (INVENTORY_LIMIT_ORDERS * quantity)
    skew = max(-1.0, min(1.0, skew))
    side = Side.BUY if rng.random() < (1 - skew) / 2 else Side.SELL
    distance = rng.randint(1, GRID_LEVELS) * GRID_STEP
    centre = mid * (1 - skew * GRID_STEP)
    return Wish(user_id, side, quantity, centre * (1 - distance if side is Side.BUY else 1 + distance))


def arbitrageur(rng: random.Random, view: View, pair: Pair, median: float) -> Wish | None:
    """Buys here what is dearer outside, and the other way round, up to the outside price; nothing while the
    gap is small."""
    outside, here = view.outside(pair.symbol), view.traded(pair.symbol)
    gap = outside / here - 1
    if abs(gap) < WORTHWHILE_GAP:
        return None
    side = Side.BUY if gap > 0 else Side.SELL
    return Wish(rng.choice(ARBITRAGEURS), side, ARBITRAGE_SIZE * median, outside)


def whale(rng: random.Random, pair: Pair, median: float, mid: float) -> Wish:
    """Any size, from a small one to what moves a market."""
    side = rng.choice((Side.BUY, Side.SELL))
    distance = rng.uniform(*WHALE_DISTANCE)
    quantity = WHALE_SIZE * median * math.exp(rng.gauss(0, WHALE_SIGMA))
    return Wish(
        rng.choice(WHALES), side, quantity, mid * (1 - distance if side is Side.BUY else 1 + distance)
    )


def opening_deposits(retail: dict[str, int]) -> dict[str, dict[str, int]]:
    """By user, whole assets: makers and arbitrageurs begin with ten times as much as anybody, whales with a
    hundred times as much money and fifty times as much of the rest; gamblers have money alone."""
    rich = {asset: 10 * amount for asset, amount in retail.items()}
    whales = {asset: (100 if asset == "USD" else 50) * amount for asset, amount in retail.items()}
    return {
        **dict.fromkeys((*MAKERS, *ARBITRAGEURS), rich),
        **dict.fromkeys(WHALES, whales),
        **{user_id: {"USD": retail["USD"]} for user_id in GAMBLERS},
    }
