"""Checks that `spyhop.duckdb` and its log are still the files that DuckDB has open, and rescues them.

No file of the database is opened here while DuckDB has it open: closing any handle of it would release the
lock by which DuckDB excludes other processes. DuckDB's own handles are found in /proc; without /proc (macOS)
only the names are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DATABASE_FILE_NAME = "spyhop.duckdb"
LOG_SUFFIX = ".wal"
RESCUED_SUFFIX = ".rescued"
# A main header of 4 KiB that never changes, two headers that take turns, then blocks of 256 KiB.
_HEADER_BYTES = 4096
_BLOCKS_START_BYTES = 3 * 4096
# The two headers that take turns begin with a checksum and the number of the checkpoint.
_ITERATION_PLACES = (4096 + 8, 8192 + 8)
_HANDLES = Path("/proc/self/fd")
_COPY_BYTES = 1024 * 1024


class Sizes(NamedTuple):
    """File sizes as DuckDB knows them: `PRAGMA database_size`."""

    block_bytes: int
    block_count: int
    used_count: int  # blocks that hold rows; the others are filled before the file grows
    log_bytes: int

    @property
    def file_bytes(self) -> int:
        return _BLOCKS_START_BYTES + self.block_bytes * self.block_count

    @property
    def used_bytes(self) -> int:
        return _BLOCKS_START_BYTES + self.block_bytes * self.used_count


class Fault(NamedTuple):
    """What happened to a file."""

    reason: str
    moved_to: str = ""  # it still exists under this name: moving it back ends the fault


class _Log(NamedTuple):
    """DuckDB only adds to its log until a checkpoint begins another; a commit that fails is cut off again."""

    inode: int
    checkpoint_count: int
    failed_commits: int
    size_bytes: int


class DatabaseFiles:
    """Compares names, sizes and headers with those at the start."""

    def __init__(
        self, path: Path, sizes: Callable[[], Sizes], failed_commits: Callable[[], int] = lambda: 0
    ) -> None:
        """
        Args:
            path: of a database that DuckDB has open in this process.
            sizes: asks DuckDB; called only when the file is smaller than it was.
            failed_commits: how many there were.
        """
        self._failed_commits = failed_commits
        self.path = path
        self._sizes = sizes
        self._state = path.stat()
        self._handle = _handle_of(self._state)
        self._header = b"" if self._handle is None else os.pread(self._handle, _HEADER_BYTES, 0)
        self._size_bytes = self._state.st_size
        self._log: _Log | None = None

    def fault(self) -> Fault | None:
        """What happened to the database file; 10 µs."""
        name = self.path.name
        try:
            named = os.stat(self.path)
        except OSError as error:
            moved_to = self._moved_to()
            if moved_to:
                return Fault(f"{name} was moved to {moved_to}", moved_to)
            return Fault(f"{name} is gone ({error.strerror})")
        if not os.path.samestat(named, self._state):
            moved_to = self._moved_to()
            where = f"; the database is {moved_to} now" if moved_to else ""
            return Fault(f"{name} was replaced by another file{where}", moved_to)
        if self._handle is not None and os.pread(self._handle, _HEADER_BYTES, 0) != self._header:
            return Fault(f"{name} was overwritten by another program")
        if named.st_size < self._size_bytes:  # a checkpoint may do that too
            expected_bytes = self._sizes().file_bytes
            if os.stat(self.path).st_size < expected_bytes:
                return Fault(f"{name} was cut from {expected_bytes} to {named.st_size} bytes")
        self._size_bytes = named.st_size
        return None

    def is_whole(self) -> bool:
        """Whether the open file, whatever its name, holds what DuckDB wrote: it can be copied."""
        if self._handle is None:
            return False
        state = os.fstat(self._handle)
        header = os.pread(self._handle, _HEADER_BYTES, 0)
        return header == self._header and state.st_size >= self._sizes().file_bytes

    def checkpoint_count(self) -> int:
        """Grows with each checkpoint that is complete; 3 µs. Always 0 where handles cannot be found."""
        if self._handle is None:
            return 0
        numbers = [os.pread(self._handle, 8, place) for place in _ITERATION_PLACES]
        return max(int.from_bytes(number, "little") for number in numbers)

    def log_fault(self) -> str:
        """What happened to DuckDB's log; empty when nothing did."""
        path = self.path.with_name(self.path.name + LOG_SUFFIX)
        for handle, name in _open_files():
            if name.removesuffix(" (deleted)") != str(path):
                continue
            try:
                state = os.fstat(handle)
            except OSError:  # closed since: a checkpoint has ended it
                continue
            try:
                named = os.stat(path)
            except OSError:
                return f"{path.name} was deleted"
            if not os.path.samestat(state, named):
                return f"{path.name} was replaced by another file"
            seen = _Log(state.st_ino, self.checkpoint_count(), self._failed_commits(), state.st_size)
            if self._log is not None and seen[:3] == self._log[:3] and seen.size_bytes < self._log.size_bytes:
                return f"{path.name} was cut from {self._log.size_bytes} to {seen.size_bytes} bytes"
            self._log = seen
        return ""

    def copy_to(self, target: Path) -> None:
        """The bytes of the open file, durably, under another name. After a checkpoint, without writers."""
        assert self._handle is not None, "is_whole says no without a handle"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        size_bytes = os.fstat(self._handle).st_size
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for offset in range(0, size_bytes, _COPY_BYTES):
                file.write(os.pread(self._handle, _COPY_BYTES, offset))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)

    def _moved_to(self) -> str:
        """The open file's present name; empty when it has none, or it is not known."""
        if self._handle is None:
            return ""
        try:
            name = os.readlink(_HANDLES / str(self._handle))
            return name if os.path.samestat(os.stat(name), self._state) else ""
        except OSError:
            return ""


def _open_files() -> list[tuple[int, str]]:
    found = []
    try:
        numbers = os.listdir(_HANDLES)
    except OSError:
        return []
    for number in numbers:
        try:
            found.append((int(number), os.readlink(_HANDLES / number)))
        except OSError:
            continue
    return found


def _handle_of(state: os.stat_result) -> int | None:
    for handle, _ in _open_files():
        try:
            if os.path.samestat(os.fstat(handle), state):
                return handle
        except OSError:
            continue
    return None
