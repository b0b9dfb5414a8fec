"""Results of commands by their clients' ids, so that a repeat is answered and not executed again.

A result is kept as bytes, which Python's collector does not look at: 100,000 of them as objects make a full
collection take 0.2 to 0.9 s, which an order has to wait for (`tests/benchmarks/exchange_memory.py`). Nested
tuples are let go of one level a collection, and the last level only after a full one.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from exchange_ref.cfd.words import TradeChange, TradeStatus
from exchange_ref.engine.orders import BalanceChange, Fill, Result, Status

Key = tuple[str, str]
Content = tuple[str | int, ...]


class Remembered:
    """The newest `max_results` results by (user, client's id).

    Args:
        max_results: the oldest goes when there is one more.
    """

    def __init__(self, max_results: int) -> None:
        self._max_results = max_results
        self._kept: dict[Key, bytes] = {}
        self._order: deque[Key] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def keys(self) -> deque[Key]:
        """A copy of all keys, oldest first: for 100,000 a tenth of what a list of the results takes."""
        return self._order.copy()

    def items(self, keys: Iterable[Key]) -> list[tuple[Key, bytes]]:
        """What is kept under `keys`, for `restore` of another one. Any thread may ask."""
        return [(key, kept) for key in keys if (kept := self._kept.get(key)) is not None]

    def restore(self, items: Iterable[tuple[Key, bytes]]) -> None:
        for key, kept in items:
            self._kept[key] = kept
            self._order.append(key)

    def put(self, key: Key, asked: Content, result: Result) -> None:
        if key not in self._kept:
            self._order.append(key)
        self._kept[key] = marshal.dumps((asked, _packed(result)))
        if len(self._kept) > self._max_results:
            del self._kept[self._order.popleft()]

    def get(self, key: Key) -> tuple[Content, Result] | None:
        """What was asked for and what came of it; its wallets have no figures, and the orders of other people
        that it changed are not known any more."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        asked, packed = _loaded(kept)
        return asked, _unpacked(packed)

    def with_prefix(self, prefix: str) -> Iterator[Result]:
        """The results of those whose client's id begins so, oldest first."""
        return (
            _unpacked(_loaded(kept)[1]) for (_, name), kept in self._kept.items() if name.startswith(prefix)
        )


def _loaded(kept: bytes) -> tuple[Content, tuple[Any, ...]]:
    found: tuple[Content, tuple[Any, ...]] = marshal.loads(kept)  # noqa: S302 - of this process
    return found


def _packed(result: Result) -> tuple[Any, ...]:
    trade = result.trade
    return (
        result.order_id,
        result.status.value,
        result.filled_lots,
        result.quote_units,
        tuple(
            (fill.maker_order_id, fill.taker_order_id, fill.price_ticks, fill.lots) for fill in result.fills
        ),
        tuple((row.user_id, row.asset) for row in result.balances),
        result.reason,
        None
        if trade is None
        else (
            trade.trade_id,
            trade.status.value,
            trade.price_ticks,
            trade.profit_units,
            trade.shortfall_units,
        ),
        result.code,
    )


def _unpacked(packed: tuple[Any, ...]) -> Result:
    order_id, status, filled_lots, quote_units, fills, wallets, reason, trade, code = packed
    return Result(
        order_id,
        Status(status),
        filled_lots,
        quote_units,
        tuple(Fill(*fill) for fill in fills),
        balances=tuple(BalanceChange(user_id, asset, 0, 0, 0) for user_id, asset in wallets),
        reason=reason,
        trade=None if trade is None else TradeChange(trade[0], TradeStatus(trade[1]), *trade[2:]),
        code=code,
    )
