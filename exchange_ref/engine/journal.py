"""The append-only journal: one JSON line for each command, written before the engine takes it.

The engine is deterministic, so replaying the lines rebuilds books and balances exactly. What cannot be
written is not executed. Lines reach the operating system first, so they outlive the process; they are synced
to the disk at close.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.messages import READERS, read_order
from exchange_ref.engine.orders import (
    Order,
    OrderRejected,
    Result,
)
from exchange_ref.errors import FolderUnusable

logger = logging.getLogger(__name__)


class JournalUnwritable(Exception):
    """A command could not be written: it is not executed, and later ones are tried anew."""


class Journal:
    """Lines `{"seq", "op", "at", …}`, `seq` counting from 1 without gaps. `at`, in nanoseconds since 1970, is
    for the audit trail alone; lines of earlier versions have none."""

    def __init__(
        self, path: Path, *, last_sequence: int = 0, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._now_ns = now_ns
        self._file_descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.path = path
        self.sequence = last_sequence
        # Where the whole lines end, while part of another stands behind them.
        self._torn_at: int | None = None

    def append(self, op: str, command: Mapping[str, object]) -> int:
        """Write one command; returns the bytes written.

        Raises:
            JournalUnwritable: the file has no part of it.
        """
        fields = {"seq": self.sequence + 1, "op": op, "at": self._now_ns(), **command}
        data = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
        try:
            self._cut_back()
            self._torn_at = os.fstat(self._file_descriptor).st_size
            written_bytes = 0
            while written_bytes < len(data):  # a full disk takes a part of it
                written_bytes += os.write(self._file_descriptor, data[written_bytes:])
            self._torn_at = None
        except OSError as error:
            self._try_to_cut_back()
            raise JournalUnwritable(f"{self.path} cannot be written: {error.strerror}") from error
        self.sequence += 1
        return written_bytes

    def size_bytes(self) -> int:
        """Where the next line begins."""
        return os.fstat(self._file_descriptor).st_size if self._torn_at is None else self._torn_at

    def sync(self) -> None:
        """Bring all lines to the disk. Any thread may ask."""
        os.fsync(self._file_descriptor)

    def _cut_back(self) -> None:
        if self._torn_at is not None:
            os.ftruncate(self._file_descriptor, self._torn_at)
            self._torn_at = None

    def _try_to_cut_back(self) -> None:
        try:
            self._cut_back()
        except OSError as error:  # tried again before the next line; a start does the same
            logger.warning("%s ends in a part of a line that cannot be cut off: %s", self.path, error)

    def close(self) -> None:
        os.fsync(self._file_descriptor)
        os.close(self._file_descriptor)


def submit_command(order: Order) -> dict[str, object]:
    """The journal's form of an order, before it was executed."""
    command = asdict(order)
    del command["remaining_lots"], command["quote_units"], command["triggered"]
    return command


def read(
    path: Path, *, complete: bool = True, after: int = 0, from_byte: int = 0
) -> Iterator[dict[str, Any]]:
    """The commands of a journal, oldest first. A last line cut off by a crash is removed from the file.

    Args:
        from_byte: where the line behind `after` begins.
        complete: nobody writes it meanwhile; else the file is left as it is.

    Raises:
        FolderUnusable: a line that is not the last is damaged, or the numbering has a gap.
    """
    if not path.exists():
        return
    end = from_byte
    with path.open("rb") as file:
        file.seek(from_byte)
        for number, line in enumerate(file, start=after + 1):
            if not line.endswith(b"\n"):
                break
            try:
                command: dict[str, Any] = json.loads(line)
                whole = command["seq"] == number
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                raise FolderUnusable(
                    f"line {number} of {path} is damaged; move the folder away to start afresh"
                )
            end += len(line)
            yield command
    if complete:
        os.truncate(path, end)


def replay(
    path: Path,
    engine: Engine,
    *,
    after: int = 0,
    from_byte: int = 0,
    complete: bool = True,
    applied: Callable[[str, Result], None] = lambda op, result: None,
) -> int:
    """Apply a journal to an engine; returns the last sequence number, 0 for none.

    Args:
        after: the engine has taken the commands up to this one.
        from_byte: where the next one begins; without it, all before it are read too.
        applied: called with each command's word and what it did.
    """
    sequence = after
    skipped = after if from_byte else 0
    for command in read(path, complete=complete, after=skipped, from_byte=from_byte):
        if command["seq"] <= after:
            continue
        sequence = command.pop("seq")
        try:
            op, _ = command.pop("op"), command.pop("at", None)
            applied(op, apply(engine, op, command))
        except OrderRejected as rejection:  # as it was the first time: the engine is deterministic
            logger.debug("command %d was rejected: %s", sequence, rejection)
    return sequence


def apply(engine: Engine, op: str, fields: dict[str, Any]) -> Result:
    """Execute a line of the journal, without its numbering.

    Raises:
        OrderRejected: as the engine.
    """
    if op not in READERS:
        return engine.submit(read_order(fields))
    execute: dict[str, Callable[[Any], Result]] = {
        "deposit": engine.deposit,
        "withdrawal": engine.withdraw,
        "cancel": engine.cancel,
        "transfer": engine.transfer,
        "cfd_open": engine.open_trade,
        "cfd_close": engine.close_trade,
    }
    return execute[op](READERS[op](fields))
