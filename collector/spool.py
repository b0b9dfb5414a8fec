"""The write-ahead log between an acknowledgement and DuckDB: a folder of segments (`segment.py`).

One thread writes. It takes whatever has gathered, writes it with few calls, makes it durable with one
`fdatasync` and only then resolves the senders' futures, so a hundred senders share one sync. A process never
appends to a segment of an earlier process; the torn tail of the last one is cut when the spool opens.
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from collector.errors import DataFolderUnusable, Unavailable
from collector.segment import (
    HEADER_SIZE_BYTES,
    DamagedRecord,
    Position,
    Record,
    encode_record,
    read_records,
    whole_size_bytes,
)

SEGMENT_SUFFIX = ".log"
_BUFFERS_PER_WRITE = 512  # below every IOV_MAX
_PROBE_INTERVAL_S = 0.5

log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    signal: int
    payload: bytes
    durable: Future[None]


class Spool:
    """Append from any thread; read and release from the landing thread."""

    def __init__(
        self, folder: Path, *, landed: Position, max_bytes: int, segment_bytes: int, torn_folder: Path
    ) -> None:
        """Open the spool, cut a torn tail (kept in `torn_folder`) and start the writer.

        Args:
            landed: where the store's landing has come to; everything before it is deleted.
            max_bytes: unlanded bytes beyond which `append` refuses.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._failure = ""  # why the last write failed; empty when it did not
        self._is_segment_unclean = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._sizes = self._recover(landed, torn_folder)
            self._segment_id = max([*self._sizes, landed.segment_id]) + 1
            self._file = self._create_segment(self._segment_id)
        except OSError as error:
            raise DataFolderUnusable(
                f"the spool {folder} cannot be written ({error.strerror or error})",
                hint="choose another folder with --data DIR, or make room",
            ) from error
        self._landed = landed
        self._unlanded_bytes = sum(self._sizes.values()) - self._sizes.get(landed.segment_id, 0)
        if landed.segment_id in self._sizes:
            self._unlanded_bytes += self._sizes[landed.segment_id] - landed.offset_bytes
        self._unlanded_records = 0  # of this process; earlier ones are counted as they are read
        self._writer = threading.Thread(target=self._write_loop, name="spool-writer", daemon=True)
        self._writer.start()

    def append(self, signal: int, payload: bytes) -> Future[None]:
        """Queue one record; the future resolves when it is on disk.

        Raises (here or from the future):
            Unavailable: the spool is full, closing, or the disk refuses; the sender should retry.
        """
        size_bytes = HEADER_SIZE_BYTES + len(payload)
        durable: Future[None] = Future()
        with self._changed:
            self._refuse_unless_room(size_bytes)
            self._waiting.append(_Waiting(signal, payload, durable))
            self._waiting_bytes += size_bytes
            self._changed.notify_all()
        return durable

    def check_room(self, payload_bytes: int) -> None:
        """Raise what `append` would raise now, so that a full spool does not cost a parse.

        Raises:
            Unavailable: as `append`.
        """
        with self._changed:
            self._refuse_unless_room(HEADER_SIZE_BYTES + payload_bytes)

    def wait_beyond(self, position: Position, timeout_s: float, min_bytes: int = 1) -> bool:
        """Block until `min_bytes` are durable after `position`; False when time runs out or it closes."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._bytes_beyond(position) >= min_bytes, timeout_s
            )
            return self._bytes_beyond(position) >= min_bytes

    @property
    def end(self) -> Position:
        """Where what is durable ends."""
        with self._changed:
            segment_id = max(self._sizes, default=0)
            return max(self._landed, Position(segment_id, self._sizes.get(segment_id, 0)))

    def raw(self, record: Record | DamagedRecord) -> bytes:
        """A record's payload; of a damaged one the bytes as they lie in the segment."""
        if isinstance(record, Record):
            return record.payload
        with self._path(record.position.segment_id).open("rb") as file:
            file.seek(record.position.offset_bytes)
            return file.read(record.size_bytes)

    def read(self, position: Position, max_bytes: int) -> tuple[list[Record | DamagedRecord], Position]:
        """Durable records from `position` on, at least one and about `max_bytes`; and where they end."""
        with self._changed:
            sizes = dict(sorted(self._sizes.items()))
        records: list[Record | DamagedRecord] = []
        for segment_id, size_bytes in sizes.items():
            if segment_id < position.segment_id:
                continue
            if segment_id > position.segment_id:
                position = Position(segment_id, 0)
            found = self._read_segment(position, size_bytes, max_bytes)
            if found:
                records += found
                max_bytes -= found[-1].end.offset_bytes - position.offset_bytes
                position = found[-1].end
            if max_bytes <= 0 or position.offset_bytes < size_bytes:
                break
        return records, position

    def release(self, landed: Position, record_count: int) -> None:
        """Everything before `landed`, `record_count` records, is in the store: free it."""
        with self._changed:
            done = [s for s in self._sizes if s < landed.segment_id and s != self._segment_id]
            freed = sum(self._sizes[s] for s in done)
            before = self._landed.offset_bytes if self._landed.segment_id in done else 0
            kept = self._landed.offset_bytes if self._landed.segment_id == landed.segment_id else 0
            self._unlanded_bytes -= freed - before + landed.offset_bytes - kept
            self._unlanded_records = max(0, self._unlanded_records - record_count)
            self._landed = landed
            for segment_id in done:
                del self._sizes[segment_id]
        for segment_id in done:
            self._path(segment_id).unlink(missing_ok=True)

    def status(self) -> dict[str, object]:
        """`bytes` and `records` not yet landed, `max_bytes`, and `failure`, empty when writes succeed."""
        with self._changed:
            return {
                "bytes": self._unlanded_bytes + self._waiting_bytes,
                "records": self._unlanded_records + len(self._waiting),
                "max_bytes": self._max_bytes,
                "failure": self._failure,
            }

    def close(self) -> None:
        """Write what was queued, answer the senders and stop the writer."""
        with self._changed:
            was_closing, self._closing = self._closing, True
            self._changed.notify_all()
        self._writer.join()
        if not was_closing:
            os.close(self._file)

    def _refuse_unless_room(self, size_bytes: int) -> None:
        if self._closing:
            raise Unavailable("the server is shutting down", hint="retry against its successor")
        if self._unlanded_bytes + self._waiting_bytes + size_bytes > self._max_bytes:
            raise Unavailable("the spool is full", hint="retry when landing has caught up")

    def _bytes_beyond(self, position: Position) -> int:
        whole = sum(size for segment_id, size in self._sizes.items() if segment_id > position.segment_id)
        return whole + max(0, self._sizes.get(position.segment_id, 0) - position.offset_bytes)

    def _write_loop(self) -> None:
        while True:
            with self._changed:
                timeout_s = _PROBE_INTERVAL_S if self._failure else None
                self._changed.wait_for(lambda: self._waiting or self._closing, timeout_s)
                group, self._waiting = self._waiting, []
                if not group and self._closing:
                    return
            if not group:
                self._probe()
                continue
            try:
                written_bytes = self._write_durably(group)
            except OSError as error:
                self._fail(group, error)
                continue
            with self._changed:
                self._sizes[self._segment_id] = self._sizes.get(self._segment_id, 0) + written_bytes
                self._unlanded_bytes += written_bytes
                self._waiting_bytes -= written_bytes
                self._unlanded_records += len(group)
                self._failure = ""
                self._changed.notify_all()
            for waiting in group:
                waiting.durable.set_result(None)

    def _write_durably(self, group: list[_Waiting]) -> int:
        if self._is_segment_unclean or self._sizes.get(self._segment_id, 0) >= self._segment_bytes:
            fresh = self._create_segment(self._segment_id + 1)
            os.close(self._file)
            self._file = fresh
            self._is_segment_unclean = False
            with self._changed:
                self._segment_id += 1
        buffers = [part for waiting in group for part in encode_record(waiting.signal, waiting.payload)]
        for start in range(0, len(buffers), _BUFFERS_PER_WRITE):
            _write_all(self._file, buffers[start : start + _BUFFERS_PER_WRITE])
        os.fdatasync(self._file)
        return sum(map(len, buffers))

    def _fail(self, group: list[_Waiting], error: OSError) -> None:
        """Nothing of the group counts as written: cut what did arrive and tell every sender."""
        reason = error.strerror or str(error)
        log.error("the spool cannot be written: %s", reason)
        with self._changed:
            self._failure = reason
            self._waiting_bytes -= sum(HEADER_SIZE_BYTES + len(waiting.payload) for waiting in group)
            durable_bytes = self._sizes.get(self._segment_id, 0)
        try:
            os.ftruncate(self._file, durable_bytes)
        except OSError:
            self._is_segment_unclean = True  # what lies behind its last record must stay behind it
            log.exception("the spool segment cannot be cut back; the next record begins another")
        for waiting in group:
            waiting.durable.set_exception(Unavailable(f"the spool cannot be written ({reason})"))

    def _probe(self) -> None:
        """After a failed write: see whether the disk takes one again. Senders may wait for `failure` to end
        before they send anything, so it must not wait for them."""
        path = self._folder / "probe"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.write(file, bytes(4096))
                os.fdatasync(file)
            finally:
                os.close(file)
                path.unlink()
        except OSError:
            return
        with self._changed:
            self._failure = ""

    def _read_segment(
        self, position: Position, size_bytes: int, max_bytes: int
    ) -> list[Record | DamagedRecord]:
        rest_bytes = size_bytes - position.offset_bytes
        with self._path(position.segment_id).open("rb") as file:
            file.seek(position.offset_bytes)
            content = file.read(min(rest_bytes, max_bytes))
            records = list(read_records(content, *position))
            if len(content) < rest_bytes:
                if records and isinstance(records[-1], DamagedRecord):
                    records.pop()  # only cut off by the end of this read
                if not records:  # one large record, or damage: the whole rest tells
                    content += file.read(rest_bytes - len(content))
                    records = list(read_records(content, *position))
        return records

    def _recover(self, landed: Position, torn_folder: Path) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for path in sorted(self._folder.glob(f"*{SEGMENT_SUFFIX}")):
            segment_id = int(path.stem)
            if segment_id < landed.segment_id:
                path.unlink()
            else:
                sizes[segment_id] = path.stat().st_size
        if sizes:
            last = max(sizes)
            sizes[last] = _cut_torn_tail(self._path(last), torn_folder)
        return sizes

    def _create_segment(self, segment_id: int) -> int:
        file = os.open(self._path(segment_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's name must survive as surely as its content
        finally:
            os.close(folder)
        return file

    def _path(self, segment_id: int) -> Path:
        return self._folder / f"{segment_id:016d}{SEGMENT_SUFFIX}"


def _cut_torn_tail(path: Path, torn_folder: Path) -> int:
    """Cut after the last whole record; the rest was never acknowledged, but is kept for inspection."""
    content = path.read_bytes()
    whole = whole_size_bytes(content)
    if whole < len(content):
        torn_folder.mkdir(parents=True, exist_ok=True)
        (torn_folder / f"torn-{path.stem}-{whole}.bin").write_bytes(content[whole:])
        os.truncate(path, whole)
        log.warning("cut a torn tail of %d bytes from %s", len(content) - whole, path.name)
    return whole


def _write_all(file: int, buffers: list[bytes]) -> None:
    written = os.writev(file, buffers)
    total = sum(map(len, buffers))
    while written < total:  # a signal or a nearly full disk can end a write early
        rest = b"".join(buffers)[written:]
        written += os.write(file, rest)
