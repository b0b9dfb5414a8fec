"""Minutes of before an exchange began, made up, for price models that shall answer at once."""

from __future__ import annotations

import math
import random
from typing import Final, NamedTuple

from exchange_ref.market.prices import PUSH_EVERY_S, STEP_SIGMA

MADE_MINUTES: Final = 90
# As the reference price moves in a minute.
MINUTE_SIGMA: Final = STEP_SIGMA * math.sqrt(60 / PUSH_EVERY_S)
VOLUME_SIGMA: Final = 0.5


class Minute(NamedTuple):
    """`number` counts from 1970; `close` in quote per base, `volume` in the base asset."""

    number: int
    close: float
    volume: float


def made_past(price: float, now_unix_nano: int, rng: random.Random) -> list[Minute]:
    """`MADE_MINUTES` whole minutes until now that lead to `price`, oldest first."""
    this_minute = now_unix_nano // (60 * 10**9)
    minutes = []
    for ago in range(1, MADE_MINUTES + 1):
        minutes.append(Minute(this_minute - ago, price, rng.lognormvariate(0, VOLUME_SIGMA)))
        price *= math.exp(rng.gauss(0, MINUTE_SIGMA))
    return minutes[::-1]
