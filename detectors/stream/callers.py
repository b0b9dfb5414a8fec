"""How much of an operation's traffic comes from each operation that calls it, since the process started."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from detectors.stats.arrays import FloatArray, IntArray

_PAIRS_MAX = 30_000  # further pairs count as calls from nowhere


class CallerShares:
    """Written by `detectors.spans.call_structure`. Not thread-safe; memory only.

    >>> shares = CallerShares()
    >>> shares.calls(np.array([0, 1]), np.array([2, 2]), np.array([30.0, 10.0]))
    >>> shares.spans(np.array([2] * 80))
    >>> shares.present(2, {0: 0.0}), shares.present(2, {0: 0.0, 1: 0.0})
    (0.625, 0.5)
    """

    def __init__(self) -> None:
        self._made: dict[int, dict[int, float]] = {}  # called operation → calling operation → calls
        self._pairs = 0
        self._spans: FloatArray = np.zeros(64)  # of each operation

    def spans(self, codes: IntArray) -> None:
        """Count spans, by operation."""
        counts = np.bincount(codes)
        if len(counts) > len(self._spans):
            self._spans = np.concatenate([self._spans, np.zeros(len(counts))])
        self._spans[: len(counts)] += counts

    def calls(self, parents: IntArray, children: IntArray, counts: FloatArray) -> None:
        """Count calls, by calling and called operation."""
        keys, which = np.unique(parents << 32 | children, return_inverse=True)
        for key, count in zip(keys.tolist(), np.bincount(which, weights=counts).tolist(), strict=True):
            parent, child = key >> 32, key & 0xFFFFFFFF
            known = self._made.setdefault(child, {})
            if parent in known or self._pairs < _PAIRS_MAX:
                self._pairs += parent not in known
                known[parent] = known.get(parent, 0.0) + count

    def present(self, code: int, left: Mapping[int, float]) -> float:
        """The share of an operation's usual traffic that is to be expected.

        Args:
            left: of calling operations, the share of their traffic that is there; all of it where none is
                given. What an operation calls of itself says nothing.
        """
        known = {parent: made for parent, made in self._made.get(code, {}).items() if parent != code}
        own = self._made.get(code, {}).get(code, 0.0)
        whole = (float(self._spans[code]) if code < len(self._spans) else 0.0) - own
        gone = sum(made * (1 - left[parent]) for parent, made in known.items() if parent in left)
        return 1 - min(gone / whole, 1.0) if whole > 0 else 1.0

    def led_by(self, code: int, heads: Collection[int], among: Collection[int]) -> bool:
        """Whether an operation is called by one of `heads`, directly or through those of `among`."""
        pending, seen = [code], {code}
        while pending:
            for parent in self._made.get(pending.pop(), {}):
                if parent in heads and parent != code:
                    return True
                if parent in among and parent not in seen:
                    seen.add(parent)
                    pending.append(parent)
        return False
