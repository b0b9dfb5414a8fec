"""Decodes large batches in a second process.

Receiving, decoding and landing share one interpreter lock, and DuckDB's inserts must wait for it between any
two calls. A process takes 170 MB and half a second to start, so it exists only while landing is behind; small
batches are decoded in this process. CPU a span of both sides together: 3.1 µs with 25 requests of 512 spans
at once; decoding here takes 3.8.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import wait  # poll, where select ends at descriptor 1,023
from time import monotonic

from collector.decode.frames import Request, receive_reply, send_request
from collector.decode.records import Decoded, decode_records, payload_bytes
from collector.signals import Signal
from collector.wal.segment import DamagedRecord, Record

# A third of a second of 10,000 spans/s. A smaller batch is decoded here in 5 ms, about the cost of sending
# it.
PROCESS_BYTES_MIN = 1024 * 1024
IDLE_S = 60.0
_ANSWER_TIMEOUT_S = 30.0
_RESTART_PAUSE_S = 5.0
_END_TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


class Decoder:
    """For one thread: the one that reads the spool."""

    def __init__(
        self, *, process_bytes_min: int = PROCESS_BYTES_MIN, clock_s: Callable[[], float] = monotonic
    ) -> None:
        """
        Args:
            process_bytes_min: payload bytes from which on the other process decodes a batch.
        """
        self._process_bytes_min = process_bytes_min
        self._clock_s = clock_s
        self._child: _Child | None = None
        self._used_s = 0.0
        self._not_before_s = 0.0

    def decode(
        self, records: Sequence[Record | DamagedRecord], *, shred: Collection[Signal] = ()
    ) -> dict[Signal, list[Decoded]]:
        """The result of `decode_records`, from this process or the other.

        Raises:
            ValueError: one of the records is damaged, of no known signal, or no valid protobuf.
        """
        whole = [record for record in records if isinstance(record, Record)]
        if len(whole) < len(records) or payload_bytes(whole) < self._process_bytes_min:
            return decode_records(records, shred=shred)
        self._used_s = self._clock_s()
        try:
            child = self._ready_child()
            return (
                decode_records(records, shred=shred) if child is None else child.decode(Request(whole, shred))
            )
        except (OSError, EOFError) as error:
            log.warning("the decoding process is gone (%s); decoding here until there is another", error)
            self.close()
            self._not_before_s = self._clock_s() + _RESTART_PAUSE_S
            return decode_records(records, shred=shred)

    @property
    def process_id(self) -> int | None:
        """Of the other process, if there is one."""
        return None if self._child is None else self._child.process_id

    @property
    def is_elsewhere(self) -> bool:
        """Whether large batches already go to the other process."""
        return self._child is not None and self._child.is_ready()

    def rest(self) -> None:
        """Ends a process that has had nothing to do. Call it now and then while nothing arrives."""
        if self._child is not None and self._clock_s() - self._used_s > IDLE_S:
            self.close()

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _ready_child(self) -> _Child | None:
        """The process, once it is ready; starts one if there is none."""
        if self._child is None and self._clock_s() >= self._not_before_s:
            self._child = _Child()
        return self._child if self._child is not None and self._child.is_ready() else None


class _Child:
    """One process and our end of the socket to it."""

    def __init__(self) -> None:
        """Raises OSError when it cannot be started."""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_ANSWER_TIMEOUT_S)
        with theirs:
            # -P: a folder named `collector` where the server was started is not ours.
            command = [sys.executable, "-P", "-m", "collector.decode.child", str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    # Arrow's own pool keeps what a batch took: 200 to 460 MB resident, 170 without.
                    env={"ARROW_DEFAULT_MEMORY_POOL": "system", **os.environ},
                )
            except OSError:
                self._socket.close()
                raise
        self.process_id = self._process.pid
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether it has started; does not wait.

        Raises:
            OSError, EOFError: the process is gone.
        """
        if not self._is_ready and wait([self._socket], 0):
            receive_reply(self._socket)  # an empty batch: by now everything it needs is imported
            self._is_ready = True
        return self._is_ready

    def decode(self, request: Request) -> dict[Signal, list[Decoded]]:
        """
        Raises:
            ValueError: one of the records cannot be decoded.
            OSError, EOFError: the process is gone, or silent for too long.
        """
        send_request(self._socket, request)
        return receive_reply(self._socket)

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
