"""What one pair was traded at: the newest trades and a candle for each minute. Deterministic: time comes with
the orders."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from exchange_ref.engine.orders import Side

MAX_TRADES: Final = 1_000
MINUTE_NS: Final = 60 * 10**9
# 24 hours and what an hour's candle begins with.
MAX_MINUTES: Final = 25 * 60


@dataclass(frozen=True, slots=True)
class Trade:
    """One match. `trade_id` counts from 1 without gaps; `taker` is the side that came later."""

    trade_id: int
    unix_nano: int
    price_ticks: int
    lots: int
    taker: Side


@dataclass(frozen=True, slots=True)
class Candle:
    """What was traded from `start_unix_nano` on: ticks, `volume` in lots, `turnover` in ticks × lots."""

    start_unix_nano: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    trades: int

    def joined(self, later: Candle) -> Candle:
        return Candle(
            self.start_unix_nano,
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.volume + later.volume,
            self.turnover + later.turnover,
            self.trades + later.trades,
        )


class Tape:
    """
    Args:
        last_ticks: the price before the first trade.
    """

    def __init__(self, last_ticks: int) -> None:
        self.last_ticks = last_ticks
        self.count = 0
        self.trades: deque[Trade] = deque(maxlen=MAX_TRADES)
        # Plain numbers, which Python's collector soon leaves alone.
        self.minutes: dict[int, tuple[int, ...]] = {}

    def note(self, unix_nano: int, price_ticks: int, lots: int, taker: Side) -> None:
        self.last_ticks = price_ticks
        self.count += 1
        self.trades.append(Trade(self.count, unix_nano, price_ticks, lots, taker))
        minute = unix_nano // MINUTE_NS
        held = self.minutes.get(minute)
        if held is None:
            self.minutes[minute] = (price_ticks,) * 4 + (lots, price_ticks * lots, 1)
            if len(self.minutes) > MAX_MINUTES:
                del self.minutes[min(self.minutes)]
            return
        first, high, low, _, volume, turnover, trades = held
        self.minutes[minute] = (
            first,
            max(high, price_ticks),
            min(low, price_ticks),
            price_ticks,
            volume + lots,
            turnover + price_ticks * lots,
            trades + 1,
        )

    def candles(self, interval_minutes: int, *, since_unix_nano: int = 0) -> list[Candle]:
        """Oldest first; an interval without a trade has none. O(minutes)."""
        found: dict[int, Candle] = {}
        for minute in sorted(self.minutes):
            if (minute + 1) * MINUTE_NS <= since_unix_nano:
                continue
            begin = minute - minute % interval_minutes
            candle = Candle(begin * MINUTE_NS, *self.minutes[minute])
            found[begin] = found[begin].joined(candle) if begin in found else candle
        return list(found.values())
