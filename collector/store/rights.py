"""File permissions: only Spyhop's own user may read what it stores. Telemetry holds people's names and words.

DuckDB makes files by itself, so the process's umask sets their rights. A lake outside the data folder is for
other engines: its files get what the umask of the user who started the server allows.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from collector.store.database_files import DATABASE_FILE_NAME

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# What a data folder may hold besides: anything else is somebody else's, and the folder is not ours to close.
_OWN_FOLDERS = frozenset({"spool", "quarantine", "lake", "hot"})
_OWN_FILES = frozenset({"owner.json", "lost+found"})

log = logging.getLogger(__name__)


class PrivateUmask:
    """The umask of the process, private while any store is open; then again what the user had."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._count = 0
        self._given = _OTHERS

    def begin(self) -> None:
        with self._guard:
            given = os.umask(_OTHERS)
            if self._count == 0:
                self._given = given
            self._count += 1

    def end(self) -> None:
        with self._guard:
            self._count -= 1
            if self._count == 0:
                os.umask(self._given)

    def allows(self, mode: int) -> int:
        """`mode` without the bits that the user's umask takes away."""
        return mode & ~self._given


UMASK = PrivateUmask()


def close_to_others(folder: Path) -> None:
    """Take the rights of group and others from a data folder and all in it; say so when there were any."""
    tightened = [path for path in _own_paths(folder) if _tighten(path)]
    if tightened:
        log.warning(
            "%s and %d more were open to other users and are not any more", tightened[0], len(tightened) - 1
        )


def share(path: Path, lake: Path, folder: Path) -> None:
    """Give a new file of a lake outside the data folder, and the folders above it there, the usual rights."""
    if lake == folder or lake.is_relative_to(folder):
        return
    path.chmod(UMASK.allows(0o666))
    for above in path.parents:
        if above == lake or not above.is_relative_to(lake):
            break
        if above.stat().st_uid == os.geteuid():
            above.chmod(UMASK.allows(0o777))


def _own_paths(folder: Path) -> Iterator[Path]:
    if _is_foreign(folder):
        log.warning(
            "%s holds files of others and keeps its rights; Spyhop's own files in it are closed to others",
            folder,
        )
    else:
        yield folder
    for path in folder.iterdir():
        if not _is_own(path.name):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            for parent, folders, files in os.walk(path):
                yield from (Path(parent) / name for name in (*folders, *files))


def _is_own(name: str) -> bool:
    return name in _OWN_FOLDERS or name in _OWN_FILES or name.startswith((DATABASE_FILE_NAME, ".look-"))


def _is_foreign(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_ISVTX) or not all(_is_own(p.name) for p in folder.iterdir())


def _tighten(path: Path) -> bool:
    try:
        state = path.lstat()
        if stat.S_ISLNK(state.st_mode) or not state.st_mode & _OTHERS:
            return False
        path.chmod(stat.S_IMODE(state.st_mode) & ~_OTHERS)
    except OSError as error:
        log.warning("the rights of %s cannot be changed (%s)", path, error.strerror)
        return False
    return True
