"""gRPC messages that are sent for the most part, and then not."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import grpc
import pytest

from collector.receive import grpc_patience
from collector.receive.memory import give_back, resident_bytes
from collector.signals import GRPC_METHODS, Signal
from tests.pace import patience_s

EXPORT = GRPC_METHODS[Signal.TRACES]
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_HEADERS = ACK = 0x4
MESSAGE_BYTES, SENT_BYTES = 60_000_000, 12_000_000


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def header(name: bytes, value: bytes) -> bytes:
    """A header in HPACK's plainest form."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD = b"".join(
    [
        header(b":method", b"POST"),
        header(b":scheme", b"http"),
        header(b":path", EXPORT.encode()),
        header(b":authority", b"localhost"),
        header(b"content-type", b"application/grpc"),
        header(b"te", b"trailers"),
    ]
)


class HalfSender:
    """One HTTP/2 connection with calls that send 12 of 60 MB and stop. gRPC's own clients cannot do that."""

    def __init__(self, connection: socket.socket, count: int) -> None:
        self._connection = connection
        self._connection.settimeout(0.05)
        self._received = b""
        self._window = self._initial = 65535
        self._windows = {2 * number + 1: 65535 for number in range(count)}
        self._unsent = dict.fromkeys(self._windows, SENT_BYTES)
        self.reset: set[int] = set()
        self._send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        for stream in self._windows:
            self._send(frame(HEADERS, END_HEADERS, stream, HEAD))

    @property
    def is_silent(self) -> bool:
        """Each call has sent its part or was given up."""
        return not any(size for stream, size in self._unsent.items() if stream not in self.reset)

    def step(self) -> None:
        """Take in what the server says, and send as much as it lets us."""
        with suppress(TimeoutError):
            self._received += self._connection.recv(1 << 16)
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                break
            kind, flags = self._received[3:5]
            stream = int.from_bytes(self._received[5:9], "big")
            self._hear(kind, flags, stream, self._received[9 : 9 + size])
            self._received = self._received[9 + size :]
        for stream in self._unsent.keys() - self.reset:
            self._fill(stream)

    def _hear(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == SETTINGS and not flags & 1:
            self._send(frame(SETTINGS, 1, 0, b""))
            for key, value in struct.iter_unpack(">HI", content):
                if key == 4:
                    for each in self._windows:
                        self._windows[each] += value - self._initial
                    self._initial = value
        elif kind == WINDOW_UPDATE and stream:
            self._windows[stream] += int.from_bytes(content, "big")
        elif kind == WINDOW_UPDATE:
            self._window += int.from_bytes(content, "big")
        elif kind == PING and not flags & 1:
            self._send(frame(PING, 1, 0, content))
        elif kind == RST_STREAM or (kind == HEADERS and flags & 1):
            self.reset.add(stream)

    def _fill(self, stream: int) -> None:
        while size := min(16384, self._window, self._windows[stream], self._unsent[stream]):
            if size < 0:
                return
            content = bytes(size)
            if self._unsent[stream] == SENT_BYTES:
                content = b"\0" + struct.pack(">I", MESSAGE_BYTES) + content[5:]
            self._send(frame(DATA, 0, stream, content))
            self._window -= size
            self._windows[stream] -= size
            self._unsent[stream] -= size

    def _send(self, content: bytes) -> None:
        self._connection.settimeout(20)
        self._connection.sendall(content)
        self._connection.settimeout(0.05)


def test_memory_grows_while_calls_are_silent(
    running: Any,
    make_request: Any,
    connect: Callable[[str], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unfinished messages are given up when they have taken so much memory, and the memory is given back."""
    monkeypatch.setattr(grpc_patience.Patience, "_overdue", lambda *_: [])  # only memory gives calls up
    # Less than one call sends. How many are given up depends on what else the process frees meanwhile.
    monkeypatch.setattr(grpc_patience, "GROWTH_MAX_BYTES", 8_000_000)
    give_back()
    before_bytes = resident_bytes()
    with connect(running.addresses["otlp_grpc"]) as connection:
        sender = HalfSender(connection, 10)
        deadline_s = monotonic() + patience_s(30)
        while not (sender.reset and sender.is_silent):
            assert monotonic() < deadline_s, (len(sender.reset), sender.is_silent)
            sender.step()
        with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
            channel.unary_unary(EXPORT)(make_request(1).SerializeToString(), timeout=10)
        while resident_bytes() - before_bytes > 100_000_000:
            assert monotonic() < deadline_s, resident_bytes() - before_bytes
            sender.step()
