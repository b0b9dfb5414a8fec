"""Learns new and unusual forms only once they have stayed longer than a fault. An incident of theirs keeps
them out for good."""

from __future__ import annotations

from detectors.baseline.forms import FormBook, FormRow

# Until then every trace of the new form is anomalous. Where an incident opens it does so within a minute.
PROBATION_NS = 600 * 1_000_000_000
_KEPT_MAX = 20_000

_Key = tuple[object, ...]


class Probation:
    """Not thread-safe; memory only: probation begins anew after a restart."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, tuple[int, int]] = {}  # since when, how many

    def admit(
        self, ordinary: list[FormRow], unusual: list[FormRow], book: FormBook, now_ns: int
    ) -> list[FormRow]:
        """The rows that are learned now.

        Args:
            ordinary: of traces that are not anomalous; they are learned at once.
            unusual: of traces that are.
        """
        admitted = list(ordinary)
        for row in ordinary:
            admitted += self._release(row)
        for row in unusual:
            key: _Key = row[:4]
            if book.knows(row):
                admitted.append(row)
                continue
            since, count = self._waiting.get(key, (now_ns, 0))
            self._waiting[key] = since, count + row.sample_count
            if now_ns - since >= PROBATION_NS:
                admitted += self._release(row)
        while len(self._waiting) > _KEPT_MAX:
            del self._waiting[next(iter(self._waiting))]
        return admitted

    def _release(self, row: FormRow) -> list[FormRow]:
        held = self._waiting.pop(row[:4], None)
        return [row._replace(sample_count=held[1])] if held and held[1] > 0 else []
