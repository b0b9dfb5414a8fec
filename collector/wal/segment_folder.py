"""The spool's folder: its segments by number, and open handles to the newest of them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from collector.wal.segment import DamagedRecord, Position, Record, read_records, whole_size_bytes
from collector.wal.segment_file import SegmentFile, read_bytes

SEGMENT_SUFFIX = ".log"
# Open handles keep the bytes of deleted segments. 1 GiB of spool and what waits for a checkpoint are 40
# segments of 32 MiB. With smaller segments only the newest stay open.
HANDLES_MAX = 128

log = logging.getLogger(__name__)


class SegmentFolder:
    """Any thread may read. One thread at a time, by the spool's lock, begins, deletes and examines files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._guard = threading.Lock()
        self._files: dict[int, SegmentFile] = {}  # the newest segments; others are opened to be read

    def sizes(self) -> dict[int, int]:
        """Bytes of each segment on disk."""
        sizes = {}
        for path in sorted(self._folder.glob(f"*{SEGMENT_SUFFIX}")):
            if path.stem.isdecimal():
                sizes[int(path.stem)] = path.stat().st_size
            else:
                log.warning("%s is not a spool segment and is left alone", path)
        return sizes

    def cut_torn_tail(self, segment_id: int, torn_folder: Path) -> int:
        """Cut after the last whole record, and return where that is.

        The rest was never acknowledged, but is kept in `torn_folder` for inspection.
        """
        path = self._path(segment_id)
        content = path.read_bytes()
        whole = whole_size_bytes(content)
        if whole < len(content):
            torn_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (torn_folder / f"torn-{path.stem}-{whole}.bin").write_bytes(content[whole:])
            os.truncate(path, whole)
            log.warning("cut a torn tail of %d bytes from %s", len(content) - whole, path.name)
        return whole

    def open(self, segment_ids: Iterable[int]) -> None:
        """Open the newest of these segments of an earlier process."""
        for segment_id in sorted(segment_ids)[-HANDLES_MAX:]:
            self._files[segment_id] = SegmentFile.open(self._path(segment_id))

    def begin(self, segment_id: int) -> SegmentFile:
        """Create the segment that is written to next."""
        file = SegmentFile.create(self._path(segment_id))
        with self._guard:
            self._files[segment_id] = file
            closed = [self._files.pop(number) for number in sorted(self._files)[:-HANDLES_MAX]]
        for old in closed:
            old.close()
        return file

    def delete(self, segment_ids: Iterable[int]) -> None:
        for segment_id in segment_ids:
            with self._guard:
                file = self._files.pop(segment_id, None)
            if file is not None:
                file.close()
            self._path(segment_id).unlink(missing_ok=True)

    def open_files(self) -> dict[int, SegmentFile]:
        with self._guard:
            return dict(self._files)

    def read_records(
        self, position: Position, size_bytes: int, max_bytes: int
    ) -> list[Record | DamagedRecord]:
        """Records of one segment from `position` to `size_bytes`: at least one, and about `max_bytes`."""
        rest_bytes = size_bytes - position.offset_bytes
        if rest_bytes <= 0:
            return []
        content = self.read_bytes(position, min(rest_bytes, max_bytes))
        records = list(read_records(content, *position))
        if len(content) < rest_bytes:
            if records and isinstance(records[-1], DamagedRecord):
                records.pop()  # only cut off by the end of this read
            if not records:  # one large record, or damage: only the whole rest shows which
                content = self.read_bytes(position, rest_bytes)
                records = list(read_records(content, *position))
        return records

    def read_bytes(self, position: Position, size_bytes: int) -> bytes:
        """The bytes from `position` on; zeros, which are no record, for those that are gone."""
        with self._guard:
            file = self._files.get(position.segment_id)
            handle = None if file is None else file.duplicate()
        try:
            if handle is None:
                handle = os.open(self._path(position.segment_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return bytes(size_bytes)
        try:
            return read_bytes(handle, position.offset_bytes, size_bytes).ljust(size_bytes, b"\0")
        finally:
            os.close(handle)

    def takes_writes(self) -> bool:
        """Whether the disk takes a few bytes durably; they are deleted again."""
        path = self._folder / "probe"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(file, bytes(4096))
                os.fdatasync(file)
            finally:
                os.close(file)
                path.unlink()
        except OSError:
            return False
        return True

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _path(self, segment_id: int) -> Path:
        return self._folder / f"{segment_id:016d}{SEGMENT_SUFFIX}"
