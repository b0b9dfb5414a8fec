"""Request bodies, decompressed without ever holding more than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

import zstandard

from collector.errors import InvalidInput, MalformedBody, TooLarge

_CHUNK_BYTES = 64 * 1024
# Four bytes of zstd can become 128 KiB, and its decoder returns all that a step gives: 4 MiB at most.
_ZSTD_STEP_BYTES = 128
SUPPORTED = ("identity", "gzip", "deflate", "zstd")


class UnsupportedEncoding(InvalidInput):
    """A Content-Encoding that is not read here."""


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before `Content-Encoding`.

    Raises:
        TooLarge: it is, or would become, longer than `max_bytes`.
        MalformedBody: it is not what the encoding says, or it ends too early.
        UnsupportedEncoding: none of gzip, deflate, zstd, identity.
    """
    encoding = encoding.strip().lower()
    match encoding:
        case "" | "identity":
            pieces: Iterator[bytes] = iter([body])
        case "gzip" | "x-gzip":
            pieces = _inflate(body, 16 + zlib.MAX_WBITS, "gzip")
        case "deflate":
            # "deflate" means zlib, but some clients send it bare; zlib's first byte tells.
            wrapped = bool(body) and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
            pieces = _inflate(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, "deflate")
        case "zstd":
            pieces = _unzstd(body)
        case _:
            raise UnsupportedEncoding(
                f"Content-Encoding {encoding!r} is not supported", hint=f"send one of {', '.join(SUPPORTED)}"
            )
    return _bounded(pieces, max_bytes)


def _bounded(pieces: Iterator[bytes], max_bytes: int) -> bytes:
    content = BytesIO()  # gives its bytes away without a copy, which a bytearray would need
    for piece in pieces:
        if content.tell() + len(piece) > max_bytes:
            raise TooLarge(
                f"the body is larger than {max_bytes} bytes after decompression",
                hint="send smaller batches, or raise SPYHOP_OTLP_MAX_BODY_BYTES",
                details={"max_bytes": max_bytes},
            )
        content.write(piece)
    return content.getvalue()


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
