"""Checks costly requests one at a time, and others beside them."""

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
from collector.receive.parts import part_count
from collector.receive.senders import Sender
from collector.signals import Signal

# A protobuf body of 512 spans is checked in 0.5 ms, for which a thread would cost a tenth more. The worst of
# this size, all empty messages, holds up the loop for a tenth of a second.
INLINE_BYTES_MAX = 256 * 1024
LARGE_BYTES_MIN = 1024 * 1024
LARGE_PARTS_MIN = 100_000  # twice what a MiB of ordinary spans has; empty ones cost 2 µs and 200 bytes each
SMALL_THREADS = 4
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
    def turn(self, body: bytes) -> Iterator[None]:
        """Wait until this body may be checked.

        Raises:
            Unavailable: the large bodies that wait have no room for it.
        """
        size_bytes = len(body)
        if size_bytes <= INLINE_BYTES_MAX or not _is_costly(body, is_json=False):
            with self.small():
                yield
            return
        with self.large(size_bytes):
            yield

    @contextmanager
    def small(self) -> Iterator[None]:
        """Wait for the turn of a cheap request."""
        with self._small:
            yield

    @contextmanager
    def large(self, size_bytes: int) -> Iterator[None]:
        """Wait for the turn of a costly request, which holds `size_bytes` until then.

        Raises:
            Unavailable: the waiting requests leave no room for it.
        """
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
    """Decompresses and checks bodies of HTTP requests off the event loop, which a bomb would block."""

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
            accepted = await loop.run_in_executor(self._small, self._accept_small, export)
            if accepted is not None:
                return accepted
        if self._large_count >= LARGE_WAITING_MAX:
            error = _busy()
            self._intake.refused(export.signal, error, export.sender)
            raise error
        self._large_count += 1
        try:
            return await loop.run_in_executor(self._large, self._accept, export)
        finally:
            self._large_count -= 1

    def _accept_small(self, export: Export) -> Accepted | None:
        """None: the check is too costly to run beside others."""
        if export.encoding:
            try:
                max_bytes = min(LARGE_BYTES_MIN, self._max_body_bytes)
                body = decompress(export.body, export.encoding, max_bytes)
            except TooLarge:
                return None
            except SpyhopError as error:
                self._intake.refused(export.signal, error, export.sender)
                raise
            export = export._replace(body=body, encoding="")
        return None if _is_costly(export.body, is_json=export.is_json) else self._accept(export)

    def _accept(self, export: Export) -> Accepted:
        signal, body, encoding, is_json, sender = export
        if encoding:
            try:
                body = decompress(body, encoding, self._max_body_bytes)
            except SpyhopError as error:
                self._intake.refused(signal, error, sender)
                raise
        return self._intake.accept(signal, body, is_json=is_json, sender=sender)


def _is_costly(body: bytes, *, is_json: bool) -> bool:
    size_bytes = len(body)
    if size_bytes > LARGE_BYTES_MIN:
        return True
    # Fewer bytes cannot have more parts.
    return size_bytes > LARGE_PARTS_MIN and part_count(body, is_json=is_json) > LARGE_PARTS_MIN


def _busy() -> Unavailable:
    return Unavailable("too many large requests wait to be checked", hint="send it again later")
