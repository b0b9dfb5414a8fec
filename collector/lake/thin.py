"""Thin hours share files: 2,000 spans of 2,000 old hours were 1,878 files of one row.

A query needs about 1 ms for each file that it opens, and a view names all files. If there are only a few thin
hours, they keep their own files, where every engine finds them under their hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from collector.lake.moving import Hours, LakeFile

# Fewer rows are not worth a file if there are more such hours than this.
THIN_ROWS = 10_000
THIN_HOURS_MIN = 8
# If rows are deleted by age, a file is deleted as a whole with its last row. Its first rows may therefore
# stay longer by a tenth of the age, or by a day.
_SPAN_OF_RETENTION = 0.1
_SPAN_MIN = timedelta(days=1)

Part = TypeVar("Part")


class ThinFile(NamedTuple):
    """A listed file of few rows, and the hours that they are of."""

    file: LakeFile
    start: datetime
    end: datetime


def span_max(retention_s: float) -> timedelta:
    """How much time one shared file may cover."""
    return (
        max(_SPAN_MIN, timedelta(seconds=_SPAN_OF_RETENTION * retention_s)) if retention_s else timedelta.max
    )


def share(hours: Sequence[Hours], longest: timedelta) -> list[Hours]:
    """The same hours, in order; consecutive thin ones are joined until they are worth a file."""
    shared: list[Hours] = []
    for group in _groups(hours, longest, lambda h: (h.start, h.end, h.row_count)):
        if len(group) < THIN_HOURS_MIN:
            shared += group
            continue
        shared.append(
            Hours(
                group[0].start,
                group[-1].end,
                sum(hour.row_count for hour in group),
                max(hour.last_batch_id for hour in group),
            )
        )
    return shared


def files_to_share(files: Sequence[ThinFile], longest: timedelta) -> list[list[ThinFile]]:
    """Which thin files, given in order of time, to rewrite as one each."""
    groups = _groups(files, longest, lambda f: (f.start, f.end, f.file.row_count))
    return [group for group in groups if len(group) >= THIN_HOURS_MIN]


def _groups(
    parts: Iterable[Part], longest: timedelta, measure: Callable[[Part], tuple[datetime, datetime, int]]
) -> Iterator[list[Part]]:
    """Neighbours that are thin are grouped; an hour or file that is not thin is a group of its own."""
    group: list[Part] = []
    total = 0
    for part in parts:
        _, end, row_count = measure(part)
        if group and (total >= THIN_ROWS or row_count >= THIN_ROWS or end - measure(group[0])[0] > longest):
            yield group
            group, total = [], 0
        group.append(part)
        total += row_count
    if group:
        yield group
