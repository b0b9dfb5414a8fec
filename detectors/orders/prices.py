"""The newest price of each pair, and what an amount is worth at it.

>>> prices = Prices()
>>> prices.take("BTC/USD", 42_000.0); prices.value_of("BTC", 2.0), prices.value_of("DOGE", 2.0)
((84000.0, 'USD'), None)
"""

from __future__ import annotations

import re

PAIR = re.compile(r"[-_/]")


class Prices:
    """The newest price of each pair."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[float, str]] = {}

    def take(self, pair: str, price: float) -> None:
        asset, *quote = PAIR.split(pair, maxsplit=1)
        self._newest[asset] = (price, quote[0] if quote else "")

    def value_of(self, asset: str, amount: float) -> tuple[float, str] | None:
        """(value, quote currency) at the newest price; None while no price is known."""
        if asset not in self._newest:
            return None
        price, quote = self._newest[asset]
        return amount * price, quote
