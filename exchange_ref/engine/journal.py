"""The append-only journal: one JSON line for each command, written before the engine takes it.

The engine is deterministic, so replaying the lines rebuilds books and balances exactly. What cannot be
written is not executed. Lines reach the operating system first, so they outlive the process; they are synced
to the disk at close.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec

from exchange_ref.cfd.words import CloseTrade, OpenTrade
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.messages import WORDS, Command, fields_of, read_command
from exchange_ref.engine.orders import (
    Cancel,
    Deposit,
    Order,
    OrderRejected,
    Result,
    Transfer,
    Withdrawal,
)
from exchange_ref.errors import FolderUnusable

logger = logging.getLogger(__name__)
# Behind all that it is of; within a text its quotation marks would be escaped.
CHECKSUM: Final = b',"crc":'
NAMES: Final = {"seq", "op", "at", *(field.name for kind in WORDS for field in fields(kind))}


class JournalUnwritable(Exception):
    """A command could not be written: it is not executed, and later ones are tried anew."""


class Journal:
    """Lines `{"seq", "op", "at", …, "crc"}`, `seq` counting from 1 without gaps. `at`, in nanoseconds since
    1970, is for the audit trail alone; lines of earlier versions have neither it nor a checksum."""

    def __init__(
        self, path: Path, *, last_sequence: int = 0, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._now_ns = now_ns
        self._file_descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.path = path
        self.sequence = last_sequence
        # Where the whole lines end, while part of another stands behind them.
        self._torn_at: int | None = None

    def append(self, command: Command) -> int:
        """Write one command; returns the bytes written.

        Raises:
            JournalUnwritable: the file has no part of it.
        """
        numbering = {"seq": self.sequence + 1, "op": WORDS[type(command)], "at": self._now_ns()}
        line = msgspec.json.encode(numbering | fields_of(command))[:-1]
        data = b"%b%b%d}\n" % (line, CHECKSUM, zlib.crc32(line))
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
            if not line.endswith(b"\n") and _whole(line[:-1] + b"\n") is None:
                break  # cut off, and not a whole one whose end is damaged
            command = _whole(line) if line.endswith(b"\n") else None
            if command is None or command.get("seq") != number:
                raise FolderUnusable(
                    f"line {number} of {path} is damaged; move the folder away to start afresh"
                )
            end += len(line)
            yield command
    if complete:
        os.truncate(path, end)


def _whole(line: bytes) -> dict[str, Any] | None:
    """The command of a line; None for one that is damaged. Lines of earlier versions have no checksum."""
    body, found, checksum = line.rpartition(CHECKSUM)
    try:
        if found and int(checksum[:-2]) != zlib.crc32(body):
            return None
        command: dict[str, Any] = msgspec.json.decode(line)
        command.pop("crc", None)
        return command if command.keys() <= NAMES else None
    except (ValueError, TypeError, AttributeError, msgspec.DecodeError):
        return None


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


def apply(engine: Engine, op: str, said: dict[str, Any]) -> Result:
    """Execute a line of the journal, without its numbering.

    Raises:
        OrderRejected: as the engine.
    """
    command = read_command(op, said)
    match command:
        case Order():
            result = engine.submit(command)
        case Deposit():
            result = engine.deposit(command)
        case Withdrawal():
            result = engine.withdraw(command)
        case Cancel():
            result = engine.cancel(command)
        case Transfer():
            result = engine.transfer(command)
        case OpenTrade():
            result = engine.open_trade(command)
        case CloseTrade():
            result = engine.close_trade(command)
        case _:
            assert_never(command)
    return result
