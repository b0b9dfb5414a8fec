"""Chooses the operations of a pool: of a service and kind, else of the kind, else of the same measure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from detectors.baseline.pool import Pool, pool
from detectors.baseline.sketch_index import SeriesKey, SketchBook

_OPERATIONS_MIN, _SAMPLES_MIN = 5, 200  # below, a larger group is used
_OPERATIONS_MAX = 200  # of one pool, the first ones seen: each takes 50 µs to fit
_REFIT_GROWTH = 1.2

_Group = tuple[str, str, str]  # measure, service or empty, kind or empty


class Pools:
    """Pools, fitted on demand, and again when their operations have grown. Not thread-safe."""

    def __init__(self, book: SketchBook, least: float) -> None:
        """
        Args:
            least: smaller samples count as this value.
        """
        self._book, self._least = book, least
        self._members: dict[_Group, dict[SeriesKey, None]] = {}
        self._fitted: dict[_Group, tuple[int, Pool]] = {}  # with the number of samples when it was fitted
        self.note(book.series())

    def note(self, keys: Iterable[SeriesKey]) -> None:
        """Register series."""
        for key in keys:
            for group in _groups(key):
                self._members.setdefault(group, {})[key] = None

    def of(self, key: SeriesKey) -> Pool:
        """The pool of the smallest group of a series that has enough samples."""
        *closer, widest = _groups(key)
        for group in (*closer, widest):
            members = list(islice(self._members.get(group, {key: None}), _OPERATIONS_MAX))
            count = sum(self._book.sample_count(member) for member in members)
            enough = len(members) >= _OPERATIONS_MIN and count >= _SAMPLES_MIN
            if enough or group == widest:
                break
        known = self._fitted.get(group)
        if known is None or count > known[0] * _REFIT_GROWTH:
            sketches = (self._book.sketch(member).at_least(self._least) for member in members)
            known = self._fitted[group] = count, pool(sketches)
        return known[1]


def _groups(key: SeriesKey) -> tuple[_Group, _Group, _Group]:
    return (
        (key.measure, key.service_name, key.span_kind),
        (key.measure, "", key.span_kind),
        (key.measure, "", ""),
    )
