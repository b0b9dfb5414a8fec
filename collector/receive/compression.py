"""Decompresses request bodies without ever holding more than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

import google_crc32c
import pyarrow as pa
import zstandard

from collector.errors import InvalidInput, MalformedBody, TooLarge

_CHUNK_BYTES = 64 * 1024
# Four bytes of zstd can become 128 KiB, and its decoder returns all that a step gives: 4 MiB at most.
_ZSTD_STEP_BYTES = 128
SUPPORTED = ("identity", "gzip", "deflate", "zlib", "zstd", "snappy", "lz4")
_SNAPPY_FRAMED = b"\xff\x06\x00\x00sNaPpY"
# gRPC has a flag for "compressed" and not always a name; an OTLP request begins with 0x0a, so these are none.
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    _SNAPPY_FRAMED: "snappy",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x78\x01": "deflate",
    b"\x78\x5e": "deflate",
    b"\x78\x9c": "deflate",
    b"\x78\xda": "deflate",
}


class UnsupportedEncoding(InvalidInput):
    """A Content-Encoding that is not read here."""


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before `Content-Encoding`.

    Raises:
        TooLarge: it is, or would become, longer than `max_bytes`.
        MalformedBody: it is not what the encoding says, or it ends too early.
        UnsupportedEncoding: none of `SUPPORTED`.
    """
    encoding = encoding.strip().lower()
    match encoding:
        case "" | "identity":
            pieces: Iterator[bytes] = iter([body])
        case "gzip" | "x-gzip":
            pieces = _inflate(body, 16 + zlib.MAX_WBITS, "gzip")
        case "deflate" | "zlib":
            # "deflate" means zlib, but some clients send it bare; the first byte shows which.
            wrapped = bool(body) and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
            pieces = _inflate(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, "deflate")
        case "zstd":
            pieces = _unzstd(body)
        case "snappy" | "x-snappy-framed":
            # Senders call both "snappy": a frame of blocks, or one block.
            pieces = (
                _unframe_snappy(body) if body.startswith(_SNAPPY_FRAMED) else _snappy_block(body, max_bytes)
            )
        case "lz4":
            pieces = _unlz4(body)
        case _:
            raise UnsupportedEncoding(
                f"Content-Encoding {encoding!r} is not supported", hint=f"send one of {', '.join(SUPPORTED)}"
            )
    return _bounded(pieces, max_bytes)


def encoding_of(message: bytes) -> str:
    """The encoding of a gRPC message, told by how it begins; empty when it is not compressed."""
    if message[:1] == b"\x0a":
        return ""
    return next((name for magic, name in _MAGIC.items() if message.startswith(magic)), "")


def _bounded(pieces: Iterator[bytes], max_bytes: int) -> bytes:
    content = BytesIO()  # gives its bytes away without a copy, which a bytearray would need
    for piece in pieces:
        if content.tell() + len(piece) > max_bytes:
            raise too_large(max_bytes)
        content.write(piece)
    return content.getvalue()


def too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {max_bytes} bytes after decompression",
        hint="send smaller batches, or raise SPYHOP_OTLP_MAX_BODY_BYTES",
        details={"max_bytes": max_bytes},
    )


def _inflate(body: bytes, window_bits: int, name: str) -> Iterator[bytes]:
    rest = body
    while rest:  # gzip allows several members, one after another
        inflater = zlib.decompressobj(window_bits)
        try:
            while not inflater.eof:
                piece = inflater.decompress(rest, _CHUNK_BYTES)
                rest = inflater.unconsumed_tail
                if not piece and not inflater.eof:
                    raise MalformedBody(f"the {name} body ends too early")
                yield piece
        except zlib.error as error:
            raise MalformedBody(f"the body is not valid {name} ({error})") from error
        rest = inflater.unused_data


def _unzstd(body: bytes) -> Iterator[bytes]:
    rest = body
    while rest:
        # The window is bounded too: a frame may ask for gigabytes before its first byte.
        frame = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj(write_size=_CHUNK_BYTES)
        try:
            for start in range(0, len(rest), _ZSTD_STEP_BYTES):
                yield frame.decompress(rest[start : start + _ZSTD_STEP_BYTES])
                if frame.eof:
                    rest = frame.unused_data + rest[start + _ZSTD_STEP_BYTES :]
                    break
            else:
                raise MalformedBody("the zstd body ends too early")
        except zstandard.ZstdError as error:
            raise MalformedBody(f"the body is not valid zstd ({error})") from error


def _unlz4(body: bytes) -> Iterator[bytes]:
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "lz4") as stream:
            while piece := stream.read(_CHUNK_BYTES):
                yield piece
    except (OSError, pa.ArrowException) as error:
        raise MalformedBody(f"the body is not valid lz4 ({error})") from error


def _snappy_block(block: bytes, max_bytes: int) -> Iterator[bytes]:
    """https://github.com/google/snappy/blob/main/format_description.txt"""
    size_bytes = shift = 0
    for byte in block[:5]:
        size_bytes |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise MalformedBody("the body is not valid snappy (it does not say its size)")
    if size_bytes > max_bytes:
        raise too_large(max_bytes)
    try:
        yield pa.Codec("snappy").decompress(block, decompressed_size=size_bytes, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise MalformedBody(f"the body is not valid snappy ({error})") from error


def _unframe_snappy(body: bytes) -> Iterator[bytes]:
    """https://github.com/google/snappy/blob/main/framing_format.txt"""
    place = 0
    while place < len(body):
        kind, size_bytes = body[place], int.from_bytes(body[place + 1 : place + 4], "little")
        content = body[place + 4 : place + 4 + size_bytes]
        if len(content) < size_bytes or len(body) < place + 4:
            raise MalformedBody("the snappy body ends too early")
        place += 4 + size_bytes
        if kind in (0, 1):
            # A block holds 64 KiB at most.
            piece = content[4:] if kind else b"".join(_snappy_block(content[4:], _CHUNK_BYTES))
            crc = google_crc32c.value(piece)
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
            if masked != int.from_bytes(content[:4], "little"):
                raise MalformedBody("the body is not valid snappy (a checksum is wrong)")
            yield piece
        elif 2 <= kind < 0x80:
            raise MalformedBody(f"the body is not valid snappy (a block of kind {kind})")
