"""Reads files of telemetry as export requests. The content decides the format, never the name.

- JSON: a document a line (what the OpenTelemetry Collector's file exporter writes), or one document; which
  documents are known stands in `documents.py`
- OTLP protobuf: one message, or messages that each follow their size as four bytes, big-endian (the file
  exporter's `format: proto`), each of them zstd-compressed where the exporter was told to
- any of these inside gzip or zstd
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from collector.errors import InvalidInput, SpyhopError
from collector.receive.compression import decompress
from collector.receive.former import take_former_lists
from collector.replay.documents import KNOWN, is_json, read_document
from collector.replay.found import Found, Refused
from collector.signals import REQUEST_TYPES, Signal

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8_BOM = codecs.BOM_UTF8
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what PowerShell's `>` writes
_SIZE_BYTES = 4
# A protobuf request begins with field 1, a message. A four-byte size beginning so would mean 160 MiB.
_PROTOBUF_FIRST_BYTE = 0x0A
_RECORD_BYTES_MAX = 160 * 1024 * 1024
# One document is parsed as a whole, in some ten times its size of memory.
_DOCUMENT_BYTES_MAX = 256 * 1024 * 1024
_DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
_OTHER_KINDS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive",
    b"ARROW1": "an Arrow file",
    b"<": "HTML or XML",
    b"SQLite": "an SQLite database",
}


def read_file(path: Path) -> Iterator[tuple[Found | Refused, int]]:
    """What `path` holds, one after another, each with the bytes of the file that are read by then.

    Raises:
        InvalidInput: the file cannot be opened, is empty, or is none of the formats.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"the file cannot be read ({error.strerror or error})") from error
    with raw, _decompressed(raw) as file:
        try:
            for item in _read(path.name, file):
                yield item, raw.tell()
        except _DAMAGE as error:
            yield Refused(path.name, f"the file is cut off or damaged ({error})"), raw.tell()


@contextmanager
def _decompressed(raw: IO[bytes]) -> Iterator[Any]:
    """A buffered reader of the content."""
    try:
        magic = raw.read(4)
        raw.seek(0)
    except OSError as error:
        raise InvalidInput(f"the file cannot be read ({error.strerror or error})") from error
    if magic.startswith(_GZIP_MAGIC):
        opened: Any = gzip.open(raw)  # noqa: SIM115  # closed below
    elif magic == _ZSTD_MAGIC:
        frames = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
        opened = io.BufferedReader(frames)
    else:
        opened = raw
    try:
        yield opened
    finally:
        if opened is not raw:
            opened.close()


def _read(name: str, file: Any) -> Iterator[Found | Refused]:
    start = file.peek(64)[:64]
    if not start:
        raise InvalidInput("the file is empty")
    if start.startswith(_UTF16_BOMS):
        text = _whole(file).decode("utf-16", errors="replace").encode()
        file = io.BufferedReader(io.BytesIO(text))
        start = file.peek(64)[:64]
    if start.startswith(_UTF8_BOM):
        file.read(len(_UTF8_BOM))
        start = file.peek(64)[:64]
    head = start.lstrip()[:1]
    is_protobuf = start[:1] == bytes([_PROTOBUF_FIRST_BYTE])
    if is_protobuf and head in (b"{", b"[") and isinstance(_parsed(name, file.peek()), Found):
        # A blank line before JSON, or a short message whose length is that character's code.
        yield _parsed(name, _whole(file))
    elif head in (b"{", b"[") or not start.strip():
        yield from _read_json(name, file)
    elif is_protobuf:
        yield _parsed(name, _whole(file))
    elif start[0] < _PROTOBUF_FIRST_BYTE and len(start) > _SIZE_BYTES:
        yield from _read_delimited(name, file)
    else:
        kind = next((kind for magic, kind in _OTHER_KINDS.items() if start.startswith(magic)), "")
        raise InvalidInput(
            f"found {kind or f'something that begins with {start[:16]!r}'}, which is neither OTLP protobuf"
            f" nor JSON of {KNOWN}",
            hint="give files of the OpenTelemetry Collector's file exporter, or downloads of Jaeger, Tempo "
            "or Zipkin",
        )


def _whole(file: IO[bytes], before: bytes = b"") -> bytes:
    content = before + file.read(_DOCUMENT_BYTES_MAX - len(before) + 1)
    if len(content) > _DOCUMENT_BYTES_MAX:
        raise InvalidInput(
            f"one document of more than {_DOCUMENT_BYTES_MAX // 2**20} MiB cannot be read at once",
            hint="write one request a line, as the Collector's file exporter does",
        )
    return content


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, and their numbers from 1."""
    number = 0
    while line := file.readline(_DOCUMENT_BYTES_MAX + 1):
        if len(line) > _DOCUMENT_BYTES_MAX:
            raise InvalidInput(f"line {number + 1} is longer than {_DOCUMENT_BYTES_MAX // 2**20} MiB")
        number += 1
        if line.strip():
            yield number, line


def _read_json(name: str, file: Any) -> Iterator[Found | Refused]:
    lines = _lines(file)
    number, first = next(lines, (0, b""))
    if not first:
        raise InvalidInput("the file holds nothing but blank lines")
    if not is_json(first) and not _is_line_of_many(first, file):
        yield from read_document(name, _whole(file, first))
        return
    yield from read_document(f"{name}:{number}", first)
    for number, line in lines:
        yield from read_document(f"{name}:{number}", line)


def _is_line_of_many(first: bytes, file: Any) -> bool:
    """A damaged first line of JSON lines, as opposed to the first line of a document over many lines."""
    return first.rstrip().endswith(b"}") and file.peek(1)[:1] == b"{"


def _read_delimited(name: str, file: IO[bytes]) -> Iterator[Found | Refused]:
    number = 0
    while size_text := file.read(_SIZE_BYTES):
        number += 1
        place = f"{name} record {number}"
        size_bytes = int.from_bytes(size_text, "big")
        if len(size_text) < _SIZE_BYTES or size_bytes > _RECORD_BYTES_MAX:
            yield Refused(place, "the size before the record is damaged; what follows cannot be read")
            return
        payload = file.read(size_bytes)
        if len(payload) < size_bytes:
            yield Refused(place, f"the file ends {size_bytes - len(payload)} bytes too early")
            return
        if payload.startswith(_ZSTD_MAGIC):
            try:
                payload = decompress(payload, "zstd", _RECORD_BYTES_MAX)
            except SpyhopError as error:
                yield Refused(place, str(error))
                continue
        if payload[:1] == b"{":
            yield from read_document(place, payload)
        else:
            yield _parsed(place, payload)


def _parsed(place: str, payload: bytes) -> Found | Refused:
    """The request of the one signal whose first item the bytes fit."""
    reason = "not OTLP protobuf"
    for signal, kind in REQUEST_TYPES.items():
        try:
            request = kind.FromString(payload)
        except (DecodeError, UnicodeDecodeError) as error:
            reason = f"not OTLP protobuf ({error})"
            continue
        take_former_lists(signal, request)
        item = _first_item(request)
        if item is None or _fits(signal, item):
            return Found(place, signal, request)
    return Refused(place, reason)


def _first_item(request: Message) -> Any:
    """The three requests have one shape: resources, in them scopes, in them items."""
    for _, resources in request.ListFields():
        for resource in resources:
            for field, scopes in resource.ListFields():
                if field.name.startswith("scope_"):
                    for scope in scopes:
                        for inner, items in scope.ListFields():
                            if inner.is_repeated and len(items):
                                return items[0]
    return None


def _fits(signal: Signal, item: Any) -> bool:
    match signal:
        case Signal.TRACES:
            return len(item.trace_id) == 16 and len(item.span_id) == 8
        case Signal.LOGS:
            return len(UnknownFieldSet(item)) == 0
        case Signal.METRICS:
            return item.WhichOneof("data") is not None
