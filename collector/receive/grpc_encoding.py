"""gRPC messages in encodings that gRPC's own server does not know: zstd, snappy, lz4.

gRPC's C core refuses a call whose `grpc-encoding` it does not know before any code of ours runs, and the
OpenTelemetry Collector's exporter then drops its batch for good. So the headers of such a call get an
encoding that gRPC knows, and the real one is kept in a header of our own. Messages pass unchanged and are
decompressed behind the server, which leaves decompression to us.

Frames: RFC 9113, section 4.1 and 6.2; header blocks: RFC 7541.
"""

from __future__ import annotations

from typing import Any

TOLD_HEADER = "x-grpc-encoding"  # what `grpc-encoding` was
_KNOWN = (b"identity", b"gzip", b"deflate")
_PREFACE_BYTES = 24
_FRAME_HEADER_BYTES = 9
_HEADERS, _CONTINUATION = 1, 9
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_FRAME_BYTES_MAX = 16_384  # of headers, as HTTP/2 has it unless the server allows more
_BLOCK_BYTES_MAX = 65_536
# A sender names its encoding in its first call or never; later header blocks are not examined.
_BLOCKS_LOOKED_AT = 64
_NAME = b"grpc-encoding"
_NAME_HUFFMAN = b"\x9a\xca\xc8\xb1j!\xe45S\x7f"


class BadFrame(Exception):
    """Frames that HTTP/2 does not allow."""


class EncodingRewriter:
    """Rewrites the bytes of one sender on one connection, from the first byte on."""

    def __init__(self) -> None:
        self._skip_bytes = _PREFACE_BYTES  # that pass before the next frame begins
        self._pending = b""  # the beginning of a frame
        self._blocks: list[bytes] | None = []  # header blocks so far; None: decided
        self._open: list[bytes] = []  # frames of a block that has not ended
        self._decoder: Any = None  # once blocks are rewritten
        self._passes = False

    def feed(self, data: bytes) -> bytes:
        """The bytes to send on in place of these.

        Raises:
            BadFrame: they are no HTTP/2.
        """
        if self._passes:
            return data
        buffer = self._pending + data
        out: list[bytes] = []
        place = taken = 0
        while not self._passes:
            step = min(self._skip_bytes, len(buffer) - place)
            place, self._skip_bytes = place + step, self._skip_bytes - step
            if self._skip_bytes or len(buffer) - place < _FRAME_HEADER_BYTES:
                break
            size_bytes = _FRAME_HEADER_BYTES + int.from_bytes(buffer[place : place + 3])
            if buffer[place + 3] not in (_HEADERS, _CONTINUATION):
                self._skip_bytes = size_bytes
                continue
            if size_bytes > _FRAME_HEADER_BYTES + _FRAME_BYTES_MAX:
                raise BadFrame(f"a frame of headers has {size_bytes} bytes")
            if len(buffer) - place < size_bytes:
                break
            frame = buffer[place : place + size_bytes]
            out += (buffer[taken:place], self._header_frame(frame))
            place = taken = place + size_bytes
        end = len(buffer) if self._passes else place
        self._pending = buffer[end:]
        return b"".join((*out, buffer[taken:end])) if out else buffer[:end]

    def _header_frame(self, frame: bytes) -> bytes:
        """A frame of headers, or all frames of its block once that is complete."""
        self._open.append(frame)
        if sum(map(len, self._open)) > _BLOCK_BYTES_MAX:
            raise BadFrame(f"headers have more than {_BLOCK_BYTES_MAX} bytes")
        if not frame[4] & _END_HEADERS:
            return b""
        frames, self._open = self._open, []
        before, fragment = _split(frames[0])
        block = fragment + b"".join(later[_FRAME_HEADER_BYTES:] for later in frames[1:])
        if self._decoder is None:
            self._look(block)
            if self._decoder is None:
                return b"".join(frames)
        return self._rewritten(frames[0], before, block)

    def _look(self, block: bytes) -> None:
        """Decide by this block: rewrite from now on, pass everything from now on, or wait for the next."""
        assert self._blocks is not None
        if _NAME not in block and _NAME_HUFFMAN not in block:
            self._blocks.append(block)
            self._passes = len(self._blocks) >= _BLOCKS_LOOKED_AT
            return
        from hpack import Decoder, HPACKError  # noqa: PLC0415  # 0.1 s that only such senders need

        try:
            decoder, peek = Decoder(), Decoder()
            for earlier in self._blocks:
                decoder.decode(earlier, raw=True)
                peek.decode(earlier, raw=True)
            encoding = dict(peek.decode(block, raw=True)).get(_NAME, b"identity")
        except HPACKError:
            self._passes = True  # gRPC's server will say what is wrong
            return
        self._passes = encoding in _KNOWN
        self._blocks = None
        if not self._passes:
            self._decoder = decoder

    def _rewritten(self, first: bytes, before: bytes, block: bytes) -> bytes:
        from hpack import Encoder, HPACKError, NeverIndexedHeaderTuple  # noqa: PLC0415  # as above

        try:
            headers = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise BadFrame(f"headers cannot be read ({error})") from error
        told: list[Any] = []
        for name, value in headers:
            if name == _NAME and value not in _KNOWN:
                told.append(NeverIndexedHeaderTuple(TOLD_HEADER.encode(), value))
            # Never indexed: gRPC's table of headers stays as the blocks before have left it.
            told.append(
                NeverIndexedHeaderTuple(name, b"gzip" if name == _NAME and value not in _KNOWN else value)
            )
        content = before + Encoder().encode(told, huffman=False)
        if len(content) > _FRAME_BYTES_MAX:
            raise BadFrame(f"headers have {len(content)} bytes")
        flags = first[4] & ~_PADDED | _END_HEADERS
        return len(content).to_bytes(3) + bytes([_HEADERS, flags]) + first[5:9] + content


def _split(frame: bytes) -> tuple[bytes, bytes]:
    """Of a HEADERS frame, its priority and the fragment of the header block."""
    content = frame[_FRAME_HEADER_BYTES:]
    if frame[3] != _HEADERS:
        raise BadFrame("headers continue that never began")
    if frame[4] & _PADDED:
        if not content or content[0] >= len(content):
            raise BadFrame("more padding than frame")
        content = content[1 : len(content) - content[0]]
    priority_bytes = 5 if frame[4] & _PRIORITY else 0
    return content[:priority_bytes], content[priority_bytes:]
