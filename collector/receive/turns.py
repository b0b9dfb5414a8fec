"""Who may be checked when: large requests one at a time, small ones beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from collector.errors import SpyhopError, TooLarge, Unavailable
from collector.http.body import BODIES_AT_ONCE
from collector.receive.compression import decompress
from collector.receive.intake import Accepted, Intake
from collector.receive.senders import Sender
from collector.signals import Signal

# A protobuf body up to this is checked in about 1.5 ms; a thread costs a tenth of that for each request.
INLINE_BYTES_MAX = LARGE_BYTES_MIN = 1024 * 1024
SMALL_THREADS = 4  # each may hold some 70 MB: empty JSON objects are 70 times as large once parsed
LARGE_WAITING_MAX = 32


class GrpcTurns:
    """Turns of the threads that gRPC gives each call."""

    def __init__(self, threads: int, max_body_bytes: int) -> None:
        self._small = threading.Semaphore(threads)
        self._large = threading.Lock()
        self._guard = threading.Lock()
        self._waiting_bytes = 0
        self._max_waiting_bytes = BODIES_AT_ONCE * max_body_bytes

    @contextmanager
    def turn(self, size_bytes: int) -> Iterator[None]:
        """Wait until a body of this size may be checked.

        Raises:
            Unavailable: the large bodies that wait have no room for it.
        """
        if size_bytes <= LARGE_BYTES_MIN:
            with self._small:
                yield
            return
        with self._guard:
            if self._waiting_bytes + size_bytes > self._max_waiting_bytes:
                raise _busy()
            self._waiting_bytes += size_bytes
        try:
            with self._large:
                yield
        finally:
            with self._guard:
                self._waiting_bytes -= size_bytes


class Export(NamedTuple):
    """A request as it came."""

    signal: Signal
    body: bytes
    encoding: str  # its Content-Encoding; empty: none
    is_json: bool
    sender: Sender


class HttpTurns:
    """Decompresses and checks bodies of HTTP requests off the event loop, which a bomb would hold up."""

    def __init__(self, intake: Intake, max_body_bytes: int) -> None:
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._small = ThreadPoolExecutor(SMALL_THREADS, thread_name_prefix="otlp-http")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="otlp-http-large")
        self._large_count = 0

    async def accept(self, export: Export) -> Accepted:
        """
        Raises:
            SpyhopError: as `decompress` and `Intake.accept`.
            Unavailable: too many large requests wait.
        """
        size_bytes = len(export.body)
        if not export.encoding and not export.is_json and size_bytes <= INLINE_BYTES_MAX:
            return self._intake.accept(export.signal, export.body, sender=export.sender)
        loop = asyncio.get_running_loop()
        if size_bytes <= LARGE_BYTES_MIN:
            max_bytes = min(LARGE_BYTES_MIN, self._max_body_bytes)
            accepted = await loop.run_in_executor(self._small, self._accept, export, max_bytes)
            if accepted is not None:
                return accepted
        if self._large_count >= LARGE_WAITING_MAX:
            error = _busy()
            self._intake.refused(export.signal, error, export.sender)
            raise error
        self._large_count += 1
        try:
            accepted = await loop.run_in_executor(self._large, self._accept, export, self._max_body_bytes)
        finally:
            self._large_count -= 1
        assert accepted is not None, "nothing is larger than the largest"
        return accepted

    def _accept(self, export: Export, max_bytes: int) -> Accepted | None:
        """None: decompressed it is larger than `max_bytes`, which is less than the largest."""
        signal, body, encoding, is_json, sender = export
        if encoding:
            try:
                body = decompress(body, encoding, max_bytes)
            except TooLarge as error:
                if max_bytes < self._max_body_bytes:
                    return None
                self._intake.refused(signal, error, sender)
                raise
            except SpyhopError as error:
                self._intake.refused(signal, error, sender)
                raise
        return self._intake.accept(signal, body, is_json=is_json, sender=sender)


def _busy() -> Unavailable:
    return Unavailable("too many large requests wait to be checked", hint="send it again later")
