"""Which resting orders end by themselves, and when."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from exchange_ref.engine.orders import Order, TimeInForce

# Below this many, orders that have left the book are not looked for.
MIN_LEFT = 1_000


class Expiries:
    """Resting orders that are GTD, by their end; of one end the first that rested first.

    Args:
        rests: whether an order is still in its book.
    """

    def __init__(self, rests: Callable[[Order], bool]) -> None:
        self._rests = rests
        self._waiting: list[tuple[int, int, Order]] = []
        self._count = 0
        self._compact_above = MIN_LEFT

    def __len__(self) -> int:
        """How many are held, those that have left the book since the last clearing included."""
        return len(self._waiting)

    def state(self) -> tuple[list[tuple[int, int, Order]], int]:
        return self._waiting, self._count

    def restore(self, state: tuple[list[tuple[int, int, Order]], int]) -> None:
        self._waiting, self._count = state

    def note(self, order: Order) -> None:
        if order.time_in_force is not TimeInForce.GTD:
            return
        self._count += 1
        heapq.heappush(self._waiting, (order.expires_unix_nano, self._count, order))
        if len(self._waiting) > self._compact_above:
            self._compact()

    def ended(self, now_unix_nano: int) -> Iterator[Order]:
        """Those whose end has passed, each once; who was cancelled or filled may be among them."""
        while self._waiting and self._waiting[0][0] < now_unix_nano:
            yield heapq.heappop(self._waiting)[2]

    def _compact(self) -> None:
        """Forget filled orders, and those that were taken out. Each order pays for it once or twice."""
        self._waiting = [entry for entry in self._waiting if self._rests(entry[2])]
        heapq.heapify(self._waiting)
        self._compact_above = max(MIN_LEFT, 2 * len(self._waiting))
