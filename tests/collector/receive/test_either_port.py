"""Both ports take both protocols, and gRPC takes every encoding that OTLP/HTTP takes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import sleep
from typing import Any

import grpc
import httpx2
import pyarrow as pa
import pytest
import zstandard
from hpack import Decoder, Encoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from collector.receive import grpc_encoding
from collector.receive.grpc_encoding import TOLD_HEADER, BadFrame, EncodingRewriter
from collector.server import Server
from collector.signals import GRPC_METHODS, Signal
from tests.collector.receive.otlp_calls import batch
from tests.collector.receive.test_compression import framed_snappy, lz4
from tests.pace import within_s

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", GRPC_METHODS[Signal.TRACES]),
    (":authority", "spyhop"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "by-hand/1"),
]


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def call(encoder: Encoder, stream: int, encoding: str, message: bytes, *, huffman: bool = True) -> bytes:
    """The frames of one unary call: headers, and the message with its compressed flag."""
    block = encoder.encode([*HEADERS, ("grpc-encoding", encoding)], huffman=huffman)
    content = b"\x01" + len(message).to_bytes(4) + message
    return frame(1, 4, stream, block) + frame(0, 1, stream, content)


def converse(address: str, content: bytes, calls: int) -> list[dict[str, str]]:
    """Send the bytes of one connection; the trailers of its calls."""
    host, _, port = address.rpartition(":")
    decoder = Decoder()
    trailers: list[dict[str, str]] = []
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(content)
        received = sock.makefile("rb")
        while len(trailers) < calls:
            head = received.read(9)
            payload = received.read(int.from_bytes(head[:3]))
            if head[3] == 1:
                found = dict(decoder.decode(payload))
                if "grpc-status" in found:
                    trailers.append(found)
    return trailers


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstandard.compress,
    "snappy": framed_snappy,
    "lz4": lz4,
}


def spans(running: Any, service: str) -> int:
    running.landed()
    return running.client.sql("SELECT * FROM spans WHERE service_name = ?", [service]).height  # type: ignore[no-any-return]


@pytest.mark.parametrize("huffman", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_grpc_encodings(shared: Any, encoding: str, huffman: bool) -> None:
    """gRPC in zstd, snappy and lz4 lands, call after call, also when its bytes come one by one."""
    encoder = Encoder()
    service = f"{encoding} {huffman}"
    content = PREFACE + frame(4, 0, 0)
    for number in range(3):
        message = batch(Signal.TRACES, service, 2).SerializeToString()
        content += call(encoder, 2 * number + 1, encoding, ENCODINGS[encoding](message), huffman=huffman)
    answers = converse(shared.addresses["otlp_grpc"], content, 3)
    assert [answer["grpc-status"] for answer in answers] == ["0"] * 3
    assert spans(shared, service) == 6


def test_unknown_grpc_encoding(shared: Any) -> None:
    """An encoding that nobody reads is UNIMPLEMENTED, as gRPC asks, and says which are read."""
    content = PREFACE + frame(4, 0, 0) + call(Encoder(), 1, "br", b"\xf1br")
    (answer,) = converse(shared.addresses["otlp_grpc"], content, 1)
    assert answer["grpc-status"] == "12"
    assert "'br' is not supported" in answer["grpc-message"]
    assert "zstd" in answer["grpc-message"]


def test_damaged_and_oversized_messages(shared: Any) -> None:
    """Half a message is bad data; a bomb is too large; neither ends the connection."""
    bomb = zstandard.compress(bytes(100_000_000))
    encoder = Encoder()
    content = PREFACE + frame(4, 0, 0)
    for number, message in enumerate((zstandard.compress(b"x" * 1000)[:-5], bomb)):
        content += call(encoder, 2 * number + 1, "zstd", message)
    answers = converse(shared.addresses["otlp_grpc"], content, 2)
    assert sorted(answer["grpc-status"] for answer in answers) == ["3", "8"]


@pytest.mark.parametrize("port", ["otlp_grpc", "otlp_http"])
def test_either_protocol(shared: Any, port: str) -> None:
    """OTLP/HTTP in both forms and gRPC, plain and compressed, land whichever port they are sent to."""
    address = shared.addresses[port].removeprefix("http://")
    service = f"either {port}"
    with httpx2.Client(base_url=f"http://{address}", trust_env=False) as http:
        body = batch(Signal.TRACES, service, 2).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        for _ in range(2):  # on one connection
            assert http.post("/v1/traces", content=body, headers=headers).status_code == 200
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
        with grpc.insecure_channel(address, compression=compression) as channel:
            export = channel.unary_unary(GRPC_METHODS[Signal.TRACES])
            assert export(batch(Signal.TRACES, service, 3).SerializeToString(), timeout=10) == b""
    assert spans(shared, service) == 11


def test_first_bytes_may_be_few(shared: Any) -> None:
    """The protocol is decided only when it is certain: a P may begin both."""
    host, _, port = shared.addresses["otlp_grpc"].rpartition(":")
    for head, rest, expected in ((b"P", b"UT /v1/traces HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 405"),):
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(head)
            sleep(0.05)
            sock.sendall(rest)
            assert sock.recv(100).startswith(expected)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        for byte in PREFACE + frame(4, 0, 0):
            sock.sendall(bytes([byte]))
        assert sock.recv(9)[3] == 4, "gRPC answers with its settings"


def test_silent_connection_is_closed(settings: Any, make_running: Any) -> None:
    """A connection that says nothing is closed on either port."""
    running = make_running(Server(settings.model_copy(update={"otlp_http_timeout_s": 0.5})))
    try:
        for name in ("otlp_grpc", "otlp_http"):
            host, _, port = running.addresses[name].removeprefix("http://").rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as sock, within_s(5):
                assert sock.recv(1) == b""
    finally:
        running.stop()


def test_name_in_huffman() -> None:
    """The bytes by which a compressed header name is recognised are what RFC 7541 gives."""
    coder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    assert coder.encode(b"grpc-encoding") == grpc_encoding._NAME_HUFFMAN


@given(st.sampled_from(["gzip", "identity", "zstd", "snappy"]), st.lists(st.integers(1, 200)), st.booleans())
def test_rewriting_in_pieces(encoding: str, sizes: list[int], other_calls_before: bool) -> None:
    """However the bytes are cut, all passes as it is but headers of unknown encodings, and those tell it."""
    encoder = Encoder()
    content = PREFACE + frame(4, 0, 0)
    if other_calls_before:
        content += frame(1, 5, 1, encoder.encode(HEADERS))
    content += call(encoder, 3, encoding, b"message" * 20) + frame(6, 0, 0, bytes(8))
    content += call(encoder, 5, encoding, b"other" * 20)
    rewriter = EncodingRewriter()
    out, place = b"", 0
    for size in [*sizes, len(content)]:
        out += rewriter.feed(content[place : place + size])
        place += size
    if encoding in ("gzip", "identity"):
        assert out == content
        return
    decoder = Decoder()
    place, calls = len(PREFACE), []
    while place < len(out):
        size, kind = int.from_bytes(out[place : place + 3]), out[place + 3]
        payload = out[place + 9 : place + 9 + size]
        if kind == 1:
            calls.append(dict(decoder.decode(payload)))
        place += 9 + size
    told = [(found.get("grpc-encoding"), found.get(TOLD_HEADER)) for found in calls]
    assert told == [(None, None)] * other_calls_before + [("gzip", encoding)] * 2
    assert all(found[":path"] == GRPC_METHODS[Signal.TRACES] for found in calls)


@pytest.mark.parametrize(
    "content",
    [
        frame(9, 4, 1, b"x"),
        (70_000).to_bytes(3) + bytes([1, 4, 0, 0, 0, 1]),
        frame(1, 0, 1, bytes(16_000)) + frame(9, 0, 1, bytes(16_000)) * 4,
        frame(1, 12, 1, b"\xff"),
    ],
)
def test_bad_frames(content: bytes) -> None:
    """Headers without end, without beginning or longer than allowed end the connection, not the server."""
    with pytest.raises(BadFrame):
        EncodingRewriter().feed(PREFACE + content)


def test_pyarrow_has_the_codecs() -> None:
    """snappy and lz4 come with pyarrow."""
    assert all(pa.Codec.is_available(name) for name in ("snappy", "lz4"))
