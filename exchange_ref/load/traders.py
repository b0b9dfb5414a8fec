"""Seeded traders: pair, side, price and size of each order. No clock and no network."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from exchange_ref.cfd.words import TradeSide
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.load.population import RETAIL, Bet, Population, View, Wish, arbitrageur, burst, maker, whale
from exchange_ref.services.addresses import address_of
from exchange_ref.services.wallet import NewOrder, NewTrade, NewTransfer


@dataclass(frozen=True, slots=True)
class Appetite:
    """How a pair is traded: its share of the orders and its log-normal sizes, median in base."""

    share: float
    median_quantity: float


APPETITES: Mapping[str, Appetite] = {
    "BTC/USD": Appetite(0.5, 0.02),
    "ETH/USD": Appetite(0.3, 0.3),
    "SOL/USD": Appetite(0.2, 5.0),
}
# ln-scale: nine of ten orders lie within a factor of three of the median.
SIZE_SIGMA = 0.7
USERS = tuple(f"trader-{number:02d}" for number in range(1, 25))

MARGIN_STEP = Decimal("0.01")
# No level comes nearer to the price than this, which the price can move while the request is on its way.
MIN_LEVEL_TICKS = 3

TRANSFER_ASSET = "BTC"
TRANSFER_MEDIAN = 0.05
TRANSFER_STEP = Decimal("0.00001")

# Shares of the kinds of order. Makers add about as much as takers remove.
MAKER_SHARE = 0.45
TAKER_SHARE = 0.35
MAKER_SPREAD = 0.0005
# Each order moves its market by half a basis point on average.
DRIFT_SIGMA = 0.00005
# How far the price here follows an arbitrage towards the one outside.
FOLLOWED = 0.3


@dataclass(frozen=True, slots=True)
class Gamble:
    """A trade to open after a while, and to close when it was held for so long."""

    trade: NewTrade
    after_s: float
    hold_s: float


class Traders:
    """
    Args:
        run_id: makes client order ids new in each run, for the exchange remembers them.
        population: who trades besides retail; needs a `view` of the market.
    """

    def __init__(
        self,
        rng: random.Random,
        run_id: str,
        population: Population = RETAIL,
        view: View | None = None,
    ) -> None:
        assert view is not None or population == RETAIL
        self._population = population
        self._view = view
        self._rng = rng
        self._run_id = run_id
        self._count = 0
        self._mid = {symbol: float(pair.opening_price) for symbol, pair in PAIRS.items()}
        self._symbols = list(APPETITES)
        self.shares = {symbol: appetite.share for symbol, appetite in APPETITES.items()}
        # All sizes are multiplied by this.
        self.size_factor = 1.0
        # By pair: no limit comes nearer to the price than this share of it.
        self.min_distance: dict[str, float] = {}

    def next_order(self) -> NewOrder:
        """What somebody wants next. Retail: a limit away from the price, a market order, or a limit around
        the price that may cross."""
        rng = self._rng
        pair = PAIRS[rng.choices(self._symbols, [self.shares[symbol] for symbol in self._symbols])[0]]
        side = rng.choice((Side.BUY, Side.SELL))
        mid = self._mid[pair.symbol] = self._mid[pair.symbol] * math.exp(rng.gauss(0, DRIFT_SIGMA))
        median = APPETITES[pair.symbol].median_quantity * self.size_factor
        if self._view is not None and (wish := self._specialist(self._view, pair, median, mid)) is not None:
            return self._wished(pair, wish)
        quantity = median * math.exp(rng.gauss(0, SIZE_SIGMA))
        kind = rng.random()
        if kind < TAKER_SHARE:
            return self.order(pair, side, quantity, None)
        distance = (
            rng.expovariate(1 / MAKER_SPREAD)
            if kind < TAKER_SHARE + MAKER_SHARE
            else rng.gauss(0, MAKER_SPREAD)
        )
        distance = max(distance, self.min_distance.get(pair.symbol, distance))
        return self.order(pair, side, quantity, mid * (1 - distance if side is Side.BUY else 1 + distance))

    def _specialist(self, view: View, pair: Pair, median: float, mid: float) -> Wish | None:
        """What someone else than retail wants, if it is their turn."""
        shares, rng = self._population, self._rng
        turn = rng.random()
        if turn < shares.whales:
            return whale(rng, pair, median, mid)
        if turn < shares.whales + shares.arbitrage:
            wish = arbitrageur(rng, view, pair, median)
            if wish is not None:  # what they do, the others see
                self._mid[pair.symbol] += (wish.price - mid) * FOLLOWED
            return wish
        if turn < shares.whales + shares.arbitrage + shares.makers:
            wish = maker(rng, view, pair, median, mid)
            least = self.min_distance.get(pair.symbol)
            if least is not None:  # makers step back with everybody
                wish = replace(wish, price=mid * (1 - least if wish.side is Side.BUY else 1 + least))
            return wish
        return None

    def _wished(self, pair: Pair, wish: Wish) -> NewOrder:
        order = self.order(pair, wish.side, wish.quantity, wish.price)
        return replace(order, user_id=wish.user_id)

    def next_transfer(self) -> NewTransfer:
        """Some trader's money for another one."""
        self._count += 1
        sender, receiver = self._rng.sample(USERS, 2)
        return NewTransfer(
            user_id=sender,
            client_transfer_id=f"{self._run_id}-{self._count}",
            asset=TRANSFER_ASSET,
            amount=round_to(TRANSFER_MEDIAN * math.exp(self._rng.gauss(0, SIZE_SIGMA)), TRANSFER_STEP),
            to_address=address_of(receiver),
        )

    def next_burst(self) -> list[Gamble]:
        """What a gambler does now; mostly nothing, for it is somebody else's turn."""
        if self._view is None or not self._population.gamblers:
            return []
        if self._rng.random() >= self._population.gamblers:
            return []
        view = self._view
        return [self._gamble(view, bet) for bet in burst(self._rng)]

    def _gamble(self, view: View, bet: Bet) -> Gamble:
        self._count += 1
        pair = PAIRS[self._rng.choices(self._symbols, [self.shares[symbol] for symbol in self._symbols])[0]]
        stop_loss = take_profit = None
        if bet.distance is not None:
            price = view.outside(pair.symbol)
            away = max(price * bet.distance, MIN_LEVEL_TICKS * float(pair.tick))
            sign = 1 if bet.side is TradeSide.LONG else -1
            stop_loss = round_to(price - sign * away, pair.tick)
            take_profit = round_to(price + sign * away, pair.tick)
        trade = NewTrade(
            user_id=bet.user_id,
            client_trade_id=f"{self._run_id}-{self._count}",
            asset=pair.base,
            side=bet.side,
            leverage=bet.leverage,
            margin=round_to(bet.margin_usd, MARGIN_STEP),
            stop_loss=stop_loss,
            take_profit=take_profit,
        )
        return Gamble(trade, bet.after_s, bet.hold_s)

    def order(self, pair: Pair, side: Side, quantity: float, price: float | None) -> NewOrder:
        """An order of some trader, rounded to lots and ticks; without a price, a market order."""
        self._count += 1
        return NewOrder(
            user_id=self._rng.choice(USERS),
            client_order_id=f"{self._run_id}-{self._count}",
            symbol=pair.symbol,
            side=side,
            type=OrderType.MARKET if price is None else OrderType.LIMIT,
            quantity=round_to(quantity, pair.lot),
            price=None if price is None else round_to(price, pair.tick),
        )

    def move(self, symbol: str, factor: float) -> None:
        """From now on `symbol` is traded around another price."""
        self._mid[symbol] *= factor

    def mid(self, symbol: str) -> float:
        """The price around which `symbol` is traded now."""
        return self._mid[symbol]


def round_to(value: float, step: Decimal) -> Decimal:
    """`value` as a multiple of `step`, at least one."""
    steps = (Decimal(value) / step).to_integral_value(ROUND_HALF_UP)
    return max(steps, Decimal(1)) * step
