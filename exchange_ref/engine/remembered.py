"""Results of commands by their clients' ids, so that a repeat is answered and not executed again.

A result is kept as bytes, which Python's collector does not look at: 100,000 of them as objects make a full
collection take 0.2 to 0.9 s, which an order has to wait for (`tests/benchmarks/exchange_memory.py`). Nested
tuples are let go of one level a collection, and the last level only after a full one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from exchange_ref.engine.orders import Result

Key = tuple[str, str]
Content = tuple[str | int, ...]
_decoder: Final = msgspec.msgpack.Decoder(tuple[Content, Result])


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
        self._kept[key] = msgspec.msgpack.encode((asked, result[:-1]))
        if len(self._kept) > self._max_results:
            del self._kept[self._order.popleft()]

    def get(self, key: Key) -> tuple[Content, Result] | None:
        """What was asked for and what came of it; the orders that it changed are not known any more."""
        kept = self._kept.get(key)
        return _decoder.decode(kept) if kept is not None else None

    def with_prefix(self, prefix: str) -> Iterator[Result]:
        """The results of those whose client's id begins so, oldest first."""
        return (_decoder.decode(kept)[1] for (_, name), kept in self._kept.items() if name.startswith(prefix))
