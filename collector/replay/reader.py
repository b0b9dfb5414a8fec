"""Files of telemetry to export requests. What a file holds is told by its content, never by its name.

- OTLP JSON: a document a line (what the OpenTelemetry Collector's file exporter writes), or one document
- OTLP protobuf: one message, or messages that each follow their size as four bytes, big-endian (the file
  exporter's `format: proto`), each of them zstd-compressed where the exporter was told to
- Jaeger JSON: what Jaeger's UI and API download
- any of these inside gzip or zstd
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import zstandard
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from collector.errors import InvalidInput, MalformedBody
from collector.receive.otlp_json import fill_json
from collector.replay.jaeger import is_jaeger, read_jaeger
from collector.signals import REQUEST_TYPES, Signal

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SIZE_BYTES = 4
# A protobuf request begins with field 1, a message. A four-byte size beginning so would mean 160 MiB.
_PROTOBUF_FIRST_BYTE = 0x0A
_RECORD_BYTES_MAX = 160 * 1024 * 1024
_ROOTS = {
    "resourceSpans": Signal.TRACES,
    "resourceLogs": Signal.LOGS,
    "resourceMetrics": Signal.METRICS,
    "resource_spans": Signal.TRACES,
    "resource_logs": Signal.LOGS,
    "resource_metrics": Signal.METRICS,
}


class Found(NamedTuple):
    """A request of a file."""

    place: str  # e.g. `spans.jsonl:12`
    signal: Signal
    request: Message


class Refused(NamedTuple):
    """Something in a file that cannot be sent."""

    place: str
    reason: str


def read_file(path: Path) -> Iterator[tuple[Found | Refused, int]]:
    """What `path` holds, one after another, each with the bytes of the file that are read by then.

    Raises:
        InvalidInput: the file cannot be opened, is empty, or is none of the formats.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"the file cannot be read ({error.strerror or error})") from error
    with raw, _decompressed(raw) as (file, first):
        head = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not first:
            raise InvalidInput("the file is empty")
        if head in (b"{", b"["):
            found = _read_json(path.name, file)
        elif first[0] == _PROTOBUF_FIRST_BYTE:
            found = _read_message(path.name, file)
        elif first[0] < _PROTOBUF_FIRST_BYTE and len(first) > _SIZE_BYTES:
            found = _read_delimited(path.name, file)
        else:
            raise InvalidInput(
                "neither OTLP JSON, OTLP protobuf nor Jaeger JSON",
                hint="give files of the OpenTelemetry Collector's file exporter, or of Jaeger's download",
            )
        try:
            for item in found:
                yield item, raw.tell()
        except (OSError, EOFError, zstandard.ZstdError) as error:
            yield Refused(path.name, f"the file is cut off or damaged ({error})"), raw.tell()


@contextmanager
def _decompressed(raw: IO[bytes]) -> Iterator[tuple[Any, bytes]]:
    """A buffered reader of the content, and its first bytes, unread."""
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(_GZIP_MAGIC):
        opened: Any = gzip.open(raw)  # noqa: SIM115  # closed below
    elif magic == _ZSTD_MAGIC:
        frames = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
        opened = io.BufferedReader(frames)
    else:
        opened = raw
    try:
        yield opened, opened.peek(64)[:64]
    except (gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise InvalidInput(f"the compressed file is damaged ({error})") from error
    finally:
        if opened is not raw:
            opened.close()


def _read_json(name: str, file: IO[bytes]) -> Iterator[Found | Refused]:
    first = file.readline()
    try:
        json.loads(first)
        is_lines = True
    except ValueError:
        is_lines = False
    if not is_lines and _is_line_of_many(first, file):
        is_lines = True
    if not is_lines:
        yield from _read_document(name, first + file.read())
        return
    line, number = first, 1
    while line:
        if line.strip():
            yield from _read_document(f"{name}:{number}", line)
        line, number = file.readline(), number + 1


def _is_line_of_many(first: bytes, file: Any) -> bool:
    """A damaged first line of JSON lines, as opposed to the first line of a document over many lines."""
    return first.rstrip().endswith(b"}") and file.peek(1)[:1] == b"{"


def _read_document(place: str, text: bytes) -> Iterator[Found | Refused]:
    try:
        document = json.loads(text.lstrip(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        yield Refused(place, f"not JSON ({error})")
        return
    for number, item in enumerate(document if isinstance(document, list) else [document]):
        where = f"{place}[{number}]" if isinstance(document, list) else place
        if is_jaeger(item):
            for found in read_jaeger(item):
                yield (
                    Refused(f"{where} {found.place}", found.reason)
                    if found.request is None
                    else Found(f"{where} {found.place}", Signal.TRACES, found.request)
                )
            continue
        roots = [root for root in _ROOTS if isinstance(item, dict) and root in item]
        if not roots:
            yield Refused(where, "neither OTLP (resourceSpans, resourceLogs, resourceMetrics) nor Jaeger")
        for root in roots:
            try:
                yield Found(where, _ROOTS[root], fill_json(_ROOTS[root], {root: item[root]}))
            except MalformedBody as error:
                yield Refused(where, str(error))


def _read_message(name: str, file: IO[bytes]) -> Iterator[Found | Refused]:
    yield _parsed(name, file.read())


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
            payload = zstandard.ZstdDecompressor().decompressobj().decompress(payload)
        if payload[:1] == b"{":
            yield from _read_document(place, payload)
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
