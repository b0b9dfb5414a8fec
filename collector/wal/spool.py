"""The write-ahead log between an acknowledgement and DuckDB: a folder of segments (`segment_folder.py`).

One thread writes. It takes whatever has gathered, writes it with few calls, makes it durable with one
`fdatasync` and only then resolves the senders' futures, so a hundred senders share one sync. A process never
appends to a segment of an earlier process; the torn tail of the last one is cut when the spool opens.

A landed segment stays until a checkpoint has brought its rows into the database file (`checkpoints.py`):
until then they stand in DuckDB's log alone, which may be damaged or deleted.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from collector.errors import DataFolderUnusable, Tampered, Unavailable
from collector.wal.segment import (
    HEADER_SIZE_BYTES,
    DamagedRecord,
    Position,
    Record,
    encode_record,
    missing_segments,
)
from collector.wal.segment_file import SegmentFile
from collector.wal.segment_folder import SegmentFolder
from collector.wal.unlanded import Unlanded

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
            landed: the position up to which the store has landed.
            max_bytes: unlanded bytes beyond which `append` refuses.
        """
        self.folder = folder
        self._aside_folder = torn_folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._changed = threading.Condition()
        # Held while the segment written to may differ from its durable bytes.
        self._writing = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._failure = ""  # why the last write failed; empty when it did not
        self._refusal = ""  # why nothing may be acknowledged whatever the disk says
        self._landed = landed
        self.missing: list[int] = []  # segments that were to be landed and are not there
        try:
            self._segments = SegmentFolder(folder)
            self._sizes, self._landed_sizes = self._recover(landed, torn_folder)
            self._segment_id = max([*self._sizes, landed.segment_id]) + 1
            self._segments.begin(self._segment_id)
        except OSError as error:
            raise DataFolderUnusable(
                f"the spool {folder} cannot be written ({error.strerror or error})",
                hint="choose another folder with --data DIR, or make room",
            ) from error
        if self.missing:
            log.error(
                "the spool segments %s are gone: what was acknowledged into them and has not landed is lost",
                ", ".join(map(str, self.missing)),
            )
        self._unlanded_bytes = self._bytes_beyond(landed)
        self._unlanded = Unlanded(Position(self._segment_id, 0) if self._unlanded_bytes else landed)
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

    def refuse(self, reason: str) -> None:
        """From now on `append` refuses with `reason`; an empty one ends that."""
        with self._changed:
            self._refusal = reason

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
        return self._segments.read_bytes(record.position, record.size_bytes)

    def read(self, position: Position, max_bytes: int) -> tuple[list[Record | DamagedRecord], Position]:
        """Durable records from `position` on, at least one and about `max_bytes`; and where they end.

        What was acknowledged and cannot be read any more comes out as damaged records.
        """
        with self._changed:
            remembered = self._unlanded.since(position, max_bytes)
            sizes = dict(sorted(self._sizes.items()))
        if remembered is not None:
            return [*remembered], remembered[-1].end if remembered else position
        records: list[Record | DamagedRecord] = []
        for segment_id, size_bytes in sizes.items():
            if segment_id < position.segment_id:
                continue
            if segment_id > position.segment_id:
                position = Position(segment_id, 0)
            found = self._segments.read_records(position, size_bytes, max_bytes)
            if found:
                records += found
                max_bytes -= found[-1].end.offset_bytes - position.offset_bytes
                position = found[-1].end
            if max_bytes <= 0 or position.offset_bytes < size_bytes:
                break
        return records, position

    def release(self, landed: Position, record_count: int) -> None:
        """Everything before `landed`, `record_count` records, is in the store: make room for more."""
        with self._changed:
            self._landed = landed
            self._unlanded.forget(landed)
            self._unlanded_records = max(0, self._unlanded_records - record_count)
            for segment_id in [s for s in self._sizes if s < landed.segment_id and s != self._segment_id]:
                self._landed_sizes[segment_id] = self._sizes.pop(segment_id)
            self._unlanded_bytes = self._bytes_beyond(landed)

    def discard(self, checkpointed: Position) -> None:
        """Delete landed segments before `checkpointed`: their rows are in the database file."""
        with self._writing:
            with self._changed:
                done = [number for number in self._landed_sizes if number < checkpointed.segment_id]
                for number in done:
                    del self._landed_sizes[number]
            self._segments.delete(done)

    def kept_bytes(self) -> int:
        """Landed segments that wait for a checkpoint."""
        with self._changed:
            return sum(self._landed_sizes.values())

    def status(self) -> dict[str, object]:
        """`bytes` and `records` not yet landed, `max_bytes`, and `failure`, empty when writes succeed."""
        with self._changed:
            return {
                "bytes": self._unlanded_bytes + self._waiting_bytes,
                "records": self._unlanded_records + len(self._waiting),
                "max_bytes": self._max_bytes,
                "failure": self._failure,
            }

    def fault(self) -> str:
        """The segment that another program deleted, replaced, cut or wrote to, as a clause; empty: none."""
        with self._writing:
            files = self._segments.open_files().values()
            return next((fault for file in files if (fault := file.fault())), "")

    def rescue(self) -> str:
        """Give deleted and replaced segments their names again; what that achieved, as a clause.

        Landing goes on from memory and open handles. After `refuse`.
        """
        with self._writing:
            files = self._segments.open_files()
            with self._changed:
                lost_bytes = sum(self._lost_bytes(segment_id, file) for segment_id, file in files.items())
            for file in files.values():
                if not file.has_name():
                    file.give_name(self._aside_folder / f"foreign-{file.path.name}")
        if lost_bytes:
            return f"{lost_bytes} bytes that were acknowledged are lost"
        return "nothing acknowledged is lost, since its bytes were still open"

    def close(self) -> None:
        """Write what was queued, answer the senders and stop the writer."""
        with self._changed:
            was_closing, self._closing = self._closing, True
            self._changed.notify_all()
        self._writer.join()
        if not was_closing:
            self._segments.close()

    def _refuse_unless_room(self, size_bytes: int) -> None:
        if self._closing:
            raise Unavailable("the server is shutting down", hint="retry against its successor")
        if self._refusal:
            raise Unavailable(f"nothing more is taken ({self._refusal})", hint="retry later")
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
                with self._writing:
                    records = self._write_durably(group)
            except (OSError, Tampered) as error:
                self._fail(group, error)
                continue
            written_bytes = records[-1].end.offset_bytes - records[0].position.offset_bytes
            with self._changed:
                self._sizes[self._segment_id] = records[-1].end.offset_bytes
                self._unlanded.add(records)
                self._unlanded_bytes += written_bytes
                self._waiting_bytes -= written_bytes
                self._unlanded_records += len(group)
                self._failure = ""
                self._changed.notify_all()
            for waiting in group:
                waiting.durable.set_result(None)

    def _write_durably(self, group: list[_Waiting]) -> list[Record]:
        file = self._segments.open_files()[self._segment_id]
        if file.is_unclean or self._sizes.get(self._segment_id, 0) >= self._segment_bytes:
            file = self._segments.begin(self._segment_id + 1)
            with self._changed:
                self._segment_id += 1
        offset_bytes = self._sizes.get(self._segment_id, 0)
        file.append([part for waiting in group for part in encode_record(waiting.signal, waiting.payload)])
        records = []
        for waiting in group:
            position = Position(self._segment_id, offset_bytes)
            records.append(Record(position, waiting.signal, waiting.payload))
            offset_bytes = records[-1].end.offset_bytes
        return records

    def _fail(self, group: list[_Waiting], error: OSError | Tampered) -> None:
        """Nothing of the group counts as written: every sender gets the error."""
        reason = str(error) if isinstance(error, Tampered) else error.strerror or str(error)
        log.error("the spool cannot be written: %s", reason)
        with self._changed:
            self._failure = reason
            self._waiting_bytes -= sum(HEADER_SIZE_BYTES + len(waiting.payload) for waiting in group)
        for waiting in group:
            waiting.durable.set_exception(Unavailable(f"the spool cannot be written ({reason})"))

    def _probe(self) -> None:
        """After a failed write: see whether the disk takes one again. Senders may wait for `failure` to end
        before they send anything, so it must not wait for them."""
        if self._segments.takes_writes():
            with self._changed:
                self._failure = ""

    def _lost_bytes(self, segment_id: int, file: SegmentFile) -> int:
        """Bytes of a segment that are neither landed, nor in the file, nor in memory."""
        position = max(self._landed, Position(segment_id, file.size_on_disk_bytes()))
        if position.segment_id > segment_id or self._unlanded.since(position, 0) is not None:
            return 0
        return max(0, file.size_bytes - position.offset_bytes)

    def _recover(self, landed: Position, torn_folder: Path) -> tuple[dict[int, int], dict[int, int]]:
        """Sizes of the segments that are to be landed, and of those that have landed."""
        sizes = self._segments.sizes()
        landed_sizes = {number: sizes.pop(number) for number in sorted(sizes) if number < landed.segment_id}
        if sizes:
            last = max(sizes)
            sizes[last] = self._segments.cut_torn_tail(last, torn_folder)
        self.missing = missing_segments(landed, sizes)
        self._segments.open([*landed_sizes, *sizes])
        return sizes, landed_sizes
