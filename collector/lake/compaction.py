"""Chooses the files of an hour to rewrite as one."""

from __future__ import annotations

from collector.lake.moving import LakeFile

# 4 M spans are 150 MB as a file.
ROWS_PER_FILE_MAX = 4_000_000
# A smaller file is not worth its cost, even with little memory.
ROWS_PER_FILE_MIN = 10_000
# Sorting and writing a file of 600,000 spans with nine attributes took 827 and 1,851 MB at most, 4,500 bytes
# a row. DuckDB spills only part of it: within 500 MB they failed. The rest is for landing and queries. Within
# 300 MB those spans become 13 files, and the process has 432 MB at most against 2,642.
MEMORY_PER_ROW_BYTES = 6_000
# Each file costs a query about 1 ms to open: an hour that keeps growing is rewritten when it has so many
# files.
FILES_PER_HOUR_MAX = 8


def rows_that_fit(memory_limit_bytes: int) -> int:
    """How many rows a file may have that DuckDB sorts and writes within its memory limit."""
    return min(ROWS_PER_FILE_MAX, max(ROWS_PER_FILE_MIN, memory_limit_bytes // MEMORY_PER_ROW_BYTES))


def files_to_compact(
    files: list[LakeFile], *, quiet: bool, rows_max: int = ROWS_PER_FILE_MAX
) -> list[LakeFile]:
    """The files of one hour, given smallest first, to rewrite as one now; empty when none.

    A quiet hour is rewritten whole, up to the size of one file. An hour that still grows is rewritten only
    when it has many files, and then without the files that are larger than all smaller ones together. So each
    row is rewritten a number of times that grows with the logarithm of the hour, not with its files.
    """
    if not quiet and len(files) < FILES_PER_HOUR_MAX:
        return []
    chosen: list[LakeFile] = []
    total = 0
    for file in files:
        if total + file.row_count > rows_max:
            break
        chosen.append(file)
        total += file.row_count
    while not quiet and chosen and 2 * chosen[-1].row_count > total:
        total -= chosen.pop().row_count
    return chosen if len(chosen) > 1 else []
