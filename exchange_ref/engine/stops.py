"""Orders of one pair that wait for a price to be traded.

Deterministic: of those that one price triggers, each direction gives first what the price passed first, and
of the two the older one is next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from exchange_ref.engine.orders import Order

# Below this many, orders that were cancelled are not looked for.
MIN_STALE = 1_000


class Stops:
    """Waiting orders by the price that triggers them."""

    def __init__(self) -> None:
        self._waiting: dict[str, Order] = {}
        # (key, order of placement, order): the smallest key is the first that a price passes.
        self._rising: list[tuple[int, int, Order]] = []
        self._falling: list[tuple[int, int, Order]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def held(self) -> int:
        """How many are in memory, with those that were taken out since the last clearing."""
        return len(self._rising) + len(self._falling)

    def get(self, order_id: str) -> Order | None:
        return self._waiting.get(order_id)

    def waiting_orders(self) -> list[Order]:
        """Oldest first."""
        return list(self._waiting.values())

    def add(self, order: Order) -> None:
        self._count += 1
        self._waiting[order.order_id] = order
        if order.triggers_rising:
            heapq.heappush(self._rising, (order.stop_ticks, self._count, order))
        else:
            heapq.heappush(self._falling, (-order.stop_ticks, self._count, order))

    def remove(self, order_id: str) -> Order | None:
        """Take a waiting order out; None when it does not wait (any more)."""
        order = self._waiting.pop(order_id, None)
        if self.held > 2 * len(self._waiting) + MIN_STALE:
            for heap in (self._rising, self._falling):
                heap[:] = [entry for entry in heap if entry[2].order_id in self._waiting]
                heapq.heapify(heap)
        return order

    def take_triggered(self, last_ticks: int) -> Order | None:
        """The next order that a trade at `last_ticks` triggers; it waits no more."""
        heads = [
            head
            for heap, met in (
                (self._rising, lambda key: key <= last_ticks),
                (self._falling, lambda key: -key >= last_ticks),
            )
            if (head := self._head(heap, met)) is not None
        ]
        if not heads:
            return None
        order = min(heads, key=lambda head: head[1])[2]
        return self.remove(order.order_id)

    def _head(
        self, heap: list[tuple[int, int, Order]], met: Callable[[int], bool]
    ) -> tuple[int, int, Order] | None:
        while heap and heap[0][2].order_id not in self._waiting:
            heapq.heappop(heap)
        return heap[0] if heap and met(heap[0][0]) else None
