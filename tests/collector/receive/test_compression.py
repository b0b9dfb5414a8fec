from __future__ import annotations

import gzip
import tracemalloc
import zlib

import google_crc32c
import pyarrow as pa
import pytest
import zstandard

from collector.errors import MalformedBody, TooLarge
from collector.receive.compression import UnsupportedEncoding, decompress

MIB = 1024 * 1024
CONTENT = b"span " * 5000


def raw_deflate(content: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(content) + squeeze.flush()


def zstd_stream(content: bytes) -> bytes:
    """A frame that does not say how long its content is."""
    squeeze = zstandard.ZstdCompressor().compressobj()
    return squeeze.compress(content) + squeeze.flush()


def snappy(content: bytes) -> bytes:
    return pa.compress(content, codec="snappy", asbytes=True)


def framed_snappy(content: bytes) -> bytes:
    """A block that is compressed and one that is not, with their checksums."""
    frames = [b"\xff\x06\x00\x00sNaPpY"]
    for kind, piece in enumerate((content[:9000], content[9000:])):
        crc = google_crc32c.value(piece)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        block = masked.to_bytes(4, "little") + (piece if kind else snappy(piece))
        frames.append(bytes([kind]) + len(block).to_bytes(3, "little") + block)
    return b"".join(frames)


def lz4(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


WHOLE = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "snappy": snappy,
    "x-snappy-framed": framed_snappy,
    "lz4": lz4,
}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", CONTENT),
        ("identity", CONTENT),
        ("gzip", gzip.compress(CONTENT, mtime=0)),
        ("GZIP", gzip.compress(CONTENT, mtime=0)),
        ("gzip", gzip.compress(CONTENT[:100], mtime=0) + gzip.compress(CONTENT[100:], mtime=0)),
        ("deflate", zlib.compress(CONTENT)),
        ("deflate", raw_deflate(CONTENT)),
        ("zlib", zlib.compress(CONTENT)),
        ("snappy", pa.compress(CONTENT, codec="snappy", asbytes=True)),
        ("snappy", framed_snappy(CONTENT)),
        ("x-snappy-framed", framed_snappy(CONTENT)),
        ("lz4", lz4(CONTENT)),
        ("lz4", lz4(CONTENT[:100]) + lz4(CONTENT[100:])),
        ("zstd", zstandard.compress(CONTENT)),
        ("zstd", zstd_stream(CONTENT)),
        ("zstd", zstd_stream(CONTENT[:100]) + zstandard.compress(CONTENT[100:])),
    ],
)
def test_reads(encoding: str, body: bytes) -> None:
    """Each supported encoding, in each form that clients send, gives the content back."""
    assert decompress(body, encoding, MIB) == CONTENT


@pytest.mark.parametrize("encoding", list(WHOLE))
@pytest.mark.parametrize("cut", [1, 7, -3])
def test_cut_off(encoding: str, cut: int) -> None:
    """A body that ends too early is malformed, never silently shorter."""
    whole = WHOLE[encoding](CONTENT)
    with pytest.raises(MalformedBody):
        decompress(whole[:cut], encoding, MIB)


@pytest.mark.parametrize("encoding", list(WHOLE))
def test_garbage(encoding: str) -> None:
    """Bytes that are not of the encoding are malformed."""
    with pytest.raises(MalformedBody):
        decompress(b"this is not compressed", encoding, MIB)


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "snappy", "lz4"])
def test_bomb(encoding: str) -> None:
    """200 MiB in a small body stop at the limit, with memory to match."""
    zeros = bytes(200 * MIB)
    bomb = gzip.compress(zeros, 1) if encoding == "gzip" else WHOLE[encoding](zeros)
    del zeros
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="larger than 8388608 bytes"):
            decompress(bomb, encoding, 8 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 30 * MIB
    finally:
        tracemalloc.stop()


def test_unknown_encoding() -> None:
    """An encoding that is not read is named, with those that are."""
    with pytest.raises(UnsupportedEncoding, match="'br' is not supported: send one of identity, gzip"):
        decompress(b"", "br", MIB)
