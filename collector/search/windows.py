"""Ranges of time for a query, so that DuckDB skips the row groups outside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from collector.search.times import Range

# Each slice reaches eight times as far back as those before it together: a search for what is frequent reads
# a five-hundredth of its range, one for what is rare pays three short statements more.
_SLICES = (512, 64, 8, 1)
WINDOWS_MAX = 32


def slices(span: Range, now_ns: int) -> Iterator[Range]:
    """Pieces of a range, the newest first; the first begins now where the range ends later."""
    until_ns, end_ns = span.until_ns, max(min(span.until_ns, now_ns), span.from_ns)
    for part in _SLICES:
        from_ns = end_ns - (end_ns - span.from_ns) // part if part > 1 else span.from_ns
        if from_ns < until_ns:
            yield Range(from_ns, until_ns)
            until_ns = from_ns


def windows(extents: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Few ranges, both ends included, that hold all of `extents`, which begin in order; the smallest gaps are
    closed."""
    merged: list[tuple[int, int]] = []
    for first, last in extents:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    if len(merged) <= WINDOWS_MAX:
        return merged
    gaps = sorted(range(1, len(merged)), key=lambda i: merged[i][0] - merged[i - 1][1], reverse=True)
    kept = sorted(gaps[: WINDOWS_MAX - 1])
    starts, ends = [0, *kept], [*kept, len(merged)]
    return [(merged[a][0], merged[b - 1][1]) for a, b in zip(starts, ends, strict=True)]
