"""The messages between the server and its decoding process, over a socket.

Request: how many records, which signals to shred, the size and signal of each, then their payloads. Reply:
`OK` and how many tables, then each as signal, size and Arrow IPC stream; or `REFUSED` and the reason as one
UTF-8 text.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from collector.decode.records import Decoded
from collector.signals import Signal
from collector.wal.segment import Position, Record

_HEAD = struct.Struct("<IB")  # records, the bits of the signals to shred
_ITEM = struct.Struct("<BQ")  # signal or reply, size in bytes
_OK, _REFUSED = 0, 1
_BUFFERS_PER_SEND = 512  # below every IOV_MAX
# The keys of spans are sent as one more column, the counts of paths with the schema.
_KEY_COLUMN = "span_key"
_PATHS = b"spyhop.paths"
_SHREDDED = b"spyhop.shredded"


class Request(NamedTuple):
    """What there is to decode, and how."""

    records: Sequence[Record]
    shred: Collection[Signal] = ()


def send_request(sock: socket.socket, request: Request) -> None:
    """Raises OSError when the other side is gone."""
    records = request.records
    bits = sum(1 << signal for signal in set(request.shred))
    head = [_HEAD.pack(len(records), bits), *(_ITEM.pack(r.signal, len(r.payload)) for r in records)]
    _send_all(sock, [b"".join(head), *(record.payload for record in records)])


def receive_request(sock: socket.socket) -> Request:
    """Raises EOFError when the other side is gone."""
    count, bits = _HEAD.unpack(_receive(sock, _HEAD.size))
    items = list(_ITEM.iter_unpack(_receive(sock, count * _ITEM.size)))
    payloads = memoryview(_receive(sock, sum(size for _, size in items)))
    records, start = [], 0
    for signal, size in items:
        records.append(Record(Position(0, start), signal, bytes(payloads[start : start + size])))
        start += size
    return Request(records, frozenset(signal for signal in Signal if bits >> signal & 1))


def send_reply(sock: socket.socket, decoded: dict[Signal, list[Decoded]]) -> None:
    """Raises OSError when the other side is gone."""
    tables = [(signal, part) for signal, parts in decoded.items() for part in parts]
    buffers: list[bytes | pa.Buffer] = [_ITEM.pack(_OK, len(tables))]
    for signal, part in tables:
        sink = pa.BufferOutputStream()
        table = _as_one_table(part)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        stream = sink.getvalue()
        buffers += [_ITEM.pack(signal, stream.size), stream]
    _send_all(sock, buffers)


def send_refusal(sock: socket.socket, reason: str) -> None:
    """Raises OSError when the other side is gone."""
    text = reason.encode()
    _send_all(sock, [_ITEM.pack(_REFUSED, len(text)), text])


def receive_reply(sock: socket.socket) -> dict[Signal, list[Decoded]]:
    """
    Raises:
        ValueError: the records cannot be decoded.
        EOFError: the other side is gone.
    """
    kind, count = _ITEM.unpack(_receive(sock, _ITEM.size))
    if kind == _REFUSED:
        raise ValueError(bytes(_receive(sock, count)).decode())
    decoded: dict[Signal, list[Decoded]] = {}
    for _ in range(count):
        signal, size = _ITEM.unpack(_receive(sock, _ITEM.size))
        with pa.ipc.open_stream(_receive(sock, size)) as reader:
            decoded.setdefault(Signal(signal), []).append(_from_one_table(reader.read_all()))
    return decoded


def _as_one_table(part: Decoded) -> pa.Table:
    table = part.table.replace_schema_metadata(
        {_PATHS: json.dumps(part.paths), _SHREDDED: json.dumps(part.is_shredded)}
    )
    return table if part.keys is None else table.append_column(_KEY_COLUMN, pa.array(part.keys))


def _from_one_table(table: pa.Table) -> Decoded:
    paths = json.loads(table.schema.metadata[_PATHS])
    is_shredded = json.loads(table.schema.metadata[_SHREDDED])
    table = table.replace_schema_metadata()
    if _KEY_COLUMN not in table.column_names:
        return Decoded(table, None, paths, is_shredded)
    keys = np.asarray(table[_KEY_COLUMN].combine_chunks())
    return Decoded(table.drop_columns([_KEY_COLUMN]), keys, paths, is_shredded)


def _receive(sock: socket.socket, size_bytes: int) -> pa.Buffer:
    buffer = pa.allocate_buffer(size_bytes)
    view = memoryview(buffer)
    filled = 0
    while filled < size_bytes:
        count = sock.recv_into(view[filled:])
        if count == 0:
            raise EOFError("the other process has gone")
        filled += count
    return buffer


def _send_all(sock: socket.socket, buffers: Sequence[bytes | pa.Buffer]) -> None:
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    while views:
        sent = sock.sendmsg(views[:_BUFFERS_PER_SEND])
        while views and sent >= len(views[0]):
            sent -= len(views.pop(0))
        if sent:
            views[0] = views[0][sent:]
