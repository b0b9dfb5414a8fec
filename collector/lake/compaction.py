"""Which files of an hour are worth rewriting as one."""

from __future__ import annotations

from collector.lake.moving import LakeFile

# A file is sorted in memory and spilled beyond it: 4 M spans are some 3 GB as rows, 150 MB as a file.
ROWS_PER_FILE_MAX = 4_000_000
# Each file costs a query about 1 ms to open: an hour that is never quiet is tidied when it has so many.
FILES_PER_HOUR_MAX = 8


def files_to_compact(
    files: list[LakeFile], *, quiet: bool, rows_max: int = ROWS_PER_FILE_MAX
) -> list[LakeFile]:
    """The files of one hour, given smallest first, to rewrite as one now; empty when none.

    A quiet hour is rewritten whole, as far as one file may hold it. One that still grows is rewritten only
    when it has many files, and then without those that are larger than all smaller ones together: each row
    is so rewritten a number of times that grows with the logarithm of the hour, not with its files.
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
