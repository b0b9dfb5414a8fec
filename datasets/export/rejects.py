"""The reasons why verdicts made no row: all counted by kind, and some listed for the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from datasets.export.gold import Reject

MAX_LISTED_REJECTS = 10_000  # of 100 bytes each; beyond, only their counts grow
_KINDS = (("duplicate of", "duplicate"), ("about", "too long"))


class Rejects:
    """Keeps those that come first by example and reason, in bounded memory: nine formats reject most of a
    million examples, which as objects were 150 MB for 100,000.
    """

    def __init__(self, rejects: Iterable[Reject] = ()) -> None:
        self.kept: list[Reject] = []
        self.kinds: Counter[str] = Counter()
        self.extend(rejects)

    def append(self, reject: Reject) -> None:
        self.kinds[_kind(reject.reason)] += 1
        self.kept.append(reject)
        if len(self.kept) >= 2 * MAX_LISTED_REJECTS:
            self.kept = self.listed()

    def extend(self, rejects: Iterable[Reject]) -> None:
        for reject in rejects:
            self.append(reject)

    def joined(self, *others: Rejects) -> Rejects:
        """These and the others, as one."""
        every = Rejects()
        for each in (self, *others):
            every.kinds += each.kinds
            every.kept += each.kept
        every.kept = every.listed()
        return every

    def listed(self) -> list[Reject]:
        """The first ones by example and reason."""
        return sorted(self.kept, key=lambda r: (r.example_id, r.reason))[:MAX_LISTED_REJECTS]

    def __len__(self) -> int:
        return self.kinds.total()

    def __iter__(self) -> Iterator[Reject]:
        return iter(self.listed())


def _kind(reason: str) -> str:
    """Reasons that name an example or a size, counted as one."""
    return next((kind for prefix, kind in _KINDS if reason.startswith(prefix)), reason)
