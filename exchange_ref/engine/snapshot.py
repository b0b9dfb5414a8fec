"""Snapshots of the engine, so that a start replays the journal's end and not all of it.

A file is a line of JSON (what it is, its SHA-256) and the gzipped state. The journal stays whole: a snapshot
that is damaged, of another version or not of this journal is passed over, for the one before or for none.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import logging
import os
import pickle
import platform
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import Journal
from exchange_ref.engine.matcher import Matcher
from exchange_ref.engine.remembered import Key, Remembered
from exchange_ref.telemetry.tracing import under

logger = logging.getLogger(__name__)

KEPT: Final = 10
EVERY_S: Final = 15.0
# So much of the journal before a snapshot tells whether it is its journal.
TAIL_BYTES: Final = 4096
# Of remembered results: 1,000 are pickled in .3 ms, during which Python does nothing else.
PIECE: Final = 1_000
_LENGTH: Final = struct.Struct(">Q")


def _code_digest() -> str:
    """Of what makes the state: a snapshot of other code, or another Python, is not read."""
    digest = hashlib.sha256(platform.python_version().encode())
    for package in ("engine", "cfd"):
        for path in sorted((Path(__file__).parent.parent / package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


FORMAT: Final = _code_digest()


class Snapshots:
    """Written every `every_s` seconds while commands come, by a thread; the newest `KEPT` stay.

    `pause_s` is how long orders waited for the last one: 20 ms of CPU with 100,000 remembered results and 400
    resting orders, and 4 µs for each further resting order. `copying` is awaited while they do.
    """

    def __init__(self, folder: Path, *, every_s: float = EVERY_S) -> None:
        self._folder = folder
        self._every_s = every_s
        self._sequence = 0
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[int] | None = None
        self._turn = asyncio.Lock()
        self.pause_s = 0.0
        self.copying: Callable[[], Awaitable[None]] | None = None

    def load(self, journal_path: Path, engine: Engine) -> tuple[int, int]:
        """Bring a new engine to the newest usable snapshot; returns its sequence number and where the journal
        goes on, in bytes; 0 and 0 without one."""
        for path in sorted(self._folder.glob("*.kx"), reverse=True):
            try:
                header, state = _read(path, journal_path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("the snapshot %s is passed over: %s", path, error)
                continue
            engine.restore(pickle.load(state))  # noqa: S301 - of this folder, whose checksum fits
            while part := state.read(_LENGTH.size):
                engine.remembered.restore(pickle.loads(state.read(_LENGTH.unpack(part)[0])))  # noqa: S301
            self._sequence = header["sequence"]
            return header["sequence"], header["journal_bytes"]
        return 0, 0

    def start(self, matcher: Matcher, engine: Engine, journal: Journal, tracer: Tracer) -> None:
        self._matcher, self._engine, self._journal, self._tracer = matcher, engine, journal, tracer
        self._task = asyncio.create_task(self._run(), name="snapshots")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._writing is not None:
            with suppress(OSError):
                await self._writing

    async def take(self) -> None:
        """One snapshot, if there was a command since the last one and this process executes them."""
        async with self._turn:
            if self._matcher.is_here and self._journal.sequence != self._sequence:
                await self._take()

    async def _take(self) -> None:
        journal, span = self._journal, self._tracer.start_as_current_span
        with span("snapshot.take", context=Context()) as root:
            async with self._matcher.stages.state:
                if not self._matcher.is_here:
                    return
                started_s = time.perf_counter()
                with span("snapshot.copy", context=under(root)) as copy:
                    if self.copying is not None:
                        await self.copying()
                    state = pickle.dumps(self._engine.state(), pickle.HIGHEST_PROTOCOL)
                    keys = self._engine.remembered.keys()
                    sequence, journal_bytes = journal.sequence, journal.size_bytes()
                    copy.set_attribute("snapshot.state_bytes", len(state))
                self.pause_s = time.perf_counter() - started_s
            root.set_attributes({"snapshot.sequence": sequence, "snapshot.pause_ms": self.pause_s * 1000})
            with span("snapshot.write", context=under(root)) as write:
                self._writing = asyncio.create_task(
                    asyncio.to_thread(self._write, state, keys, sequence, journal_bytes)
                )
                write.set_attribute("snapshot.bytes", await asyncio.shield(self._writing))
        self._sequence = sequence

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.take()
            except OSError as error:  # a full disk: the journal says so to everybody
                logger.warning("no snapshot could be written to %s: %s", self._folder, error)

    def _write(self, state: bytes, keys: deque[Key], sequence: int, journal_bytes: int) -> int:
        """Returns the bytes written."""
        packed = io.BytesIO()
        content = hashlib.sha256()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
            for part in _parts(state, self._engine.remembered, keys):
                content.update(part)
                file.write(part)
        self._journal.sync()  # a snapshot must not know more than the journal
        self._folder.mkdir(exist_ok=True)
        header: dict[str, Any] = {
            "format": FORMAT,
            "sequence": sequence,
            "journal_bytes": journal_bytes,
            "journal_tail": _tail_digest(self._journal.path, journal_bytes),
        }
        header["sha256"] = _digest(header, content.hexdigest())
        path = self._folder / f"{sequence:015}.kx"
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as target:
            target.write(json.dumps(header).encode() + b"\n")
            target.write(packed.getbuffer())
            target.flush()
            os.fsync(target.fileno())
            size_bytes = target.tell()
        fresh.replace(path)
        for old in sorted(self._folder.glob("*.kx"))[:-KEPT]:
            old.unlink()
        return size_bytes


def _parts(state: bytes, remembered: Remembered, keys: deque[Key]) -> Iterator[bytes]:
    """What a file holds: the state, then the remembered results in pieces, between which orders go on. What
    is forgotten meanwhile is forgotten by a replay too."""
    yield state
    while keys:
        piece = remembered.items([keys.popleft() for _ in range(min(PIECE, len(keys)))])
        packed = pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
        yield _LENGTH.pack(len(packed)) + packed


def _read(path: Path, journal_path: Path) -> tuple[dict[str, Any], io.BytesIO]:
    """The header and the state behind it, whose checksum fits.

    Raises:
        ValueError, KeyError, TypeError, OSError: not usable.
    """
    line, _, packed = path.read_bytes().partition(b"\n")
    header: dict[str, Any] = json.loads(line)
    digest = header.pop("sha256")
    if header["format"] != FORMAT:
        raise ValueError("it is of another version of the exchange or of Python")
    try:
        state = gzip.decompress(packed)
    except EOFError as error:
        raise ValueError("it ends too early") from error
    if digest != _digest(header, hashlib.sha256(state).hexdigest()):
        raise ValueError("its checksum does not fit")
    if header["journal_tail"] != _tail_digest(journal_path, header["journal_bytes"]):
        raise ValueError("it is of another journal")
    return header, io.BytesIO(state)


def _digest(header: dict[str, Any], content: str) -> str:
    return hashlib.sha256((json.dumps(header, sort_keys=True) + content).encode()).hexdigest()


def _tail_digest(path: Path, end: int) -> str:
    """Of the journal just before `end`; of nothing, where the journal is shorter."""
    with path.open("rb") as file:
        file.seek(max(0, end - TAIL_BYTES))
        tail = file.read(min(end, TAIL_BYTES))
    return hashlib.sha256(tail).hexdigest()
