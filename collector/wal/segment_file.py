"""One spool segment on disk, and the open handle to it, which outlives its name."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from collector.errors import Tampered

_BUFFERS_PER_WRITE = 512  # below every IOV_MAX
_COPY_BYTES = 1024 * 1024

log = logging.getLogger(__name__)


class SegmentFile:
    """A segment's durable bytes. One thread appends; any may read."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        state = os.fstat(handle)
        self.size_bytes = state.st_size  # what was made durable, whatever the file holds now
        self._written_ns = state.st_mtime_ns
        self._overwritten = ""  # what was found when it was last written to
        self.is_unclean = False  # what lies behind the durable bytes must stay there: append to another

    @classmethod
    def create(cls, path: Path) -> SegmentFile:
        """A new, empty segment, whose name is on disk as surely as its content will be."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _sync_folder(path.parent)
            return cls(path, handle)
        except OSError:
            os.close(handle)
            raise

    @classmethod
    def open(cls, path: Path) -> SegmentFile:
        """A segment of an earlier process, to read."""
        return cls(path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))

    def append(self, buffers: list[bytes]) -> None:
        """Write and make durable.

        Raises:
            OSError: the disk refuses; what did arrive is cut away.
            Tampered: the bytes are not where a restart would find them.
        """
        if fault := self.fault():
            raise self._tampered(fault)
        try:
            for start in range(0, len(buffers), _BUFFERS_PER_WRITE):
                _write_all(self._handle, buffers[start : start + _BUFFERS_PER_WRITE])
            os.fdatasync(self._handle)
        except OSError:
            self._cut_back()
            raise
        # Twice 4 µs, beside a sync of 1 ms or more: that the file is deleted, replaced, cut or holds foreign
        # bytes is noticed before these bytes are acknowledged.
        size_bytes = self.size_bytes + sum(map(len, buffers))
        state = os.fstat(self._handle)
        if fault := self._name_fault(state) or self._size_fault(state, size_bytes):
            raise self._tampered(fault)
        self.size_bytes, self._written_ns = size_bytes, state.st_mtime_ns

    def fault(self) -> str:
        """How the file differs from what this process made durable; empty when it does not.

        Not while `append` runs. Costs 4 µs.
        """
        state = os.fstat(self._handle)
        if fault := self._name_fault(state) or self._overwritten:
            return fault
        if self.is_unclean:
            return ""
        if not (fault := self._size_fault(state, self.size_bytes)) and state.st_mtime_ns != self._written_ns:
            fault = f"the spool segment {self.path.name} was written to by another program"
        return fault

    def duplicate(self) -> int:
        """A handle of the caller's own."""
        return os.dup(self._handle)

    def size_on_disk_bytes(self) -> int:
        return os.fstat(self._handle).st_size

    def has_name(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._handle))
        except OSError:
            return False

    def give_name(self, aside: Path) -> None:
        """Write the bytes under the path again, durably; what stands there now moves to `aside`."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.exists():
            aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.replace(aside)
        partial = self.path.with_name(self.path.name + ".partial")
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            for offset in range(0, self.size_bytes, _COPY_BYTES):
                _write_all(
                    handle, [read_bytes(self._handle, offset, min(_COPY_BYTES, self.size_bytes - offset))]
                )
            os.fsync(handle)
            partial.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            raise
        os.dup2(handle, self._handle, inheritable=False)  # whoever reads goes on with the same number
        os.close(handle)
        self._written_ns = os.fstat(self._handle).st_mtime_ns

    def close(self) -> None:
        os.close(self._handle)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._handle, self.size_bytes)
            self._written_ns = os.fstat(self._handle).st_mtime_ns
        except OSError:
            self.is_unclean = True
            log.exception("the spool segment cannot be cut back; the next record begins another")

    def _tampered(self, fault: str) -> Tampered:
        self.is_unclean = True
        if self.has_name():  # else it is the name that is wrong, which may come back
            self._overwritten = fault
        return Tampered(fault)

    def _name_fault(self, state: os.stat_result) -> str:
        try:
            named = os.stat(self.path)
        except OSError as error:
            return f"the spool segment {self.path.name} is gone ({error.strerror})"
        if not os.path.samestat(named, state):
            return f"the spool segment {self.path.name} was replaced by another file"
        return ""

    def _size_fault(self, state: os.stat_result, size_bytes: int) -> str:
        if state.st_size < size_bytes:
            return f"the spool segment {self.path.name} was cut from {size_bytes} to {state.st_size} bytes"
        if state.st_size > size_bytes:
            foreign_bytes = state.st_size - size_bytes
            return f"the spool segment {self.path.name} holds {foreign_bytes} bytes that Spyhop did not write"
        return ""


def read_bytes(handle: int, offset_bytes: int, max_bytes: int) -> bytes:
    """Fewer bytes than asked for only where the file ends."""
    parts = []
    while max_bytes > 0 and (part := os.pread(handle, max_bytes, offset_bytes)):
        parts.append(part)
        max_bytes -= len(part)
        offset_bytes += len(part)
    return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: int, buffers: list[bytes]) -> None:
    written = os.writev(file, buffers)
    total = sum(map(len, buffers))
    while written < total:  # a signal or a nearly full disk can end a write early
        rest = b"".join(buffers)[written:]
        written += os.write(file, rest)
