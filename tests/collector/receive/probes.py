# ruff: noqa: E501  # a probe is one row of the table
"""The probes of OTLP conformance: what is sent, what the sender must learn, how many items land."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zstandard

from collector.signals import Signal
from tests.collector.receive.otlp_calls import JSON, TRANSPORTS, batch, document, wire

BODY_MAX_BYTES = 1024 * 1024
VALUE_MAX_BYTES = 64 * 1024
NAME_MAX_CHARS = 100
TRACES, LOGS, METRICS = Signal.TRACES, Signal.LOGS, Signal.METRICS
ALL_SIGNALS = frozenset(Signal)
HTTP = ("protobuf", "json")
LONG = "x" * (VALUE_MAX_BYTES + 1)

Make = Callable[[Signal, str, str], bytes]  # signal, service, transport → the body before compression


def items(count: int, **changes: Any) -> Make:
    """`count` items, the last of them with `changes`."""
    return lambda signal, service, transport: wire(batch(signal, service, count, **changes), transport)


def raw(body: bytes) -> Make:
    return lambda *_: body


def empty(_: Signal, __: str, transport: str) -> bytes:
    return b"{}" if transport == "json" else b""


def empty_envelopes(signal: Signal, service: str, transport: str) -> bytes:
    return wire(batch(signal, service, 0), transport)


def garbage(_: Signal, __: str, transport: str) -> bytes:
    return b'{"resource' if transport == "json" else b"\x0a\xff\x01garbage"


def wrong_type(_: Signal, __: str, transport: str) -> bytes:
    return b"[]" if transport == "json" else b"\x0a\x03\x1a\x01\xff"  # a text that is not UTF-8


def many_parts(_: Signal, __: str, transport: str) -> bytes:
    """Small for its kind, and gigabytes once parsed."""
    return b'{"a":[' + b"{}," * 4_100_000 + b"{}]}" if transport == "json" else b"\x0a\x00" * 1_100_000


def long_resource(signal: Signal, service: str, transport: str) -> bytes:
    request: Any = batch(signal, service, 3)
    envelope = getattr(request, request.DESCRIPTOR.fields[0].name)[0]
    envelope.resource.attributes.add(key="long").value.string_value = LONG
    request.MergeFrom(batch(signal, service, 1))
    return wire(request, transport)


def long_name(signal: Signal, service: str, transport: str) -> bytes:
    request: Any = batch(signal, service, 2)
    if signal is TRACES:
        request.resource_spans[0].scope_spans[0].spans[0].name = "n" * (NAME_MAX_CHARS + 1)
    else:
        metrics = request.resource_metrics[0].scope_metrics[0].metrics
        metrics.add(name="n" * (NAME_MAX_CHARS + 1)).sum.data_points.add(as_int=1)
        del metrics[0].gauge.data_points[1:]
    return wire(request, transport)


def long_body(_: Signal, service: str, transport: str) -> bytes:
    request: Any = batch(LOGS, service, 3)
    # No single text is too long, but the body as a whole is.
    values = request.resource_logs[0].scope_logs[0].log_records[1].body.array_value.values
    for _number in range(3):
        values.add().string_value = LONG[: VALUE_MAX_BYTES // 2]
    return wire(request, transport)


def untimed(signal: Signal, service: str, transport: str) -> bytes:
    names = ("start_time_unix_nano", "end_time_unix_nano") if signal is TRACES else ("time_unix_nano",)
    return wire(batch(signal, service, 2, **dict.fromkeys(names, 0)), transport)


def as_document(change: Callable[[Any], None]) -> Make:
    """JSON of one item whose document is changed before it is sent."""

    def make(signal: Signal, service: str, _: str) -> bytes:
        whole = document(batch(signal, service, 1))
        node: Any = whole
        while isinstance(node, dict) and not {"timeUnixNano", "startTimeUnixNano"} & node.keys():
            (node,) = [value for key, value in node.items() if key not in ("resource", "name")]
            node = node[0] if isinstance(node, list) else node
        change(node)
        return json.dumps({**whole, "unknownField": {"a": [1]}}).encode()

    return make


def numeric_times(item: Any) -> None:
    for name in item:
        if name.endswith("UnixNano"):
            item[name] = int(item[name])


def named_enums(item: Any) -> None:
    item |= {"kind": "SPAN_KIND_SERVER"} if "kind" in item else {"severityNumber": "SEVERITY_NUMBER_INFO"}


def upper_ids(item: Any) -> None:
    item |= {name: item[name].upper() for name in ("traceId", "spanId")}


def base64_ids(item: Any) -> None:
    item["traceId"] = "AAECAwQFBgcICQoLDA0ODw=="


@dataclass(frozen=True)
class Probe:
    level: str  # of OTLP's demand; "here" where it leaves the matter open
    claim: str
    make: Make
    code: str = "ok"
    lands: int = 0
    rejected: int | None = None  # None: partial_success stays unset
    reason: str = ""
    encoding: str = ""
    media_type: str = ""
    transports: tuple[str, ...] = TRANSPORTS
    signals: frozenset[Signal] = ALL_SIGNALS


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
SPANS, ID_BEARERS = frozenset({TRACES}), frozenset({TRACES, LOGS})
CUT = f"was cut at {VALUE_MAX_BYTES} bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)"
CUT_NAME = f"the name was cut at {NAME_MAX_CHARS} characters"
TOO_NEW = "the time lies beyond the year 2262"
CHARSET = f"{JSON}; charset=utf-8"
ZIPPED_BOMB = raw(bytes(2 * BODY_MAX_BYTES))


def bad_span(claim: str, reason: str, **changes: Any) -> Probe:
    return Probe(
        "MUST", claim, items(3, **changes), lands=2, rejected=1, reason=f"1 × {reason}", signals=SPANS
    )


# fmt: off
PROBES = [
    # --- success ---
    Probe("MUST", "full success leaves partial_success unset", items(3), lands=3),
    Probe("SHOULD", "an empty request succeeds", empty),
    Probe("SHOULD", "a resource without items succeeds", empty_envelopes),
    Probe("MUST", "a media type may have a charset", items(2), lands=2, media_type=CHARSET, transports=("json",)),
    Probe("MUST", "gzip is read", items(2), lands=2, encoding="gzip"),
    Probe("here", "deflate is read", items(2), lands=2, encoding="deflate"),
    Probe("here", "zstd is read", items(2), lands=2, encoding="zstd", transports=HTTP),
    # --- JSON ---
    Probe("MUST", "64-bit integers may be numbers", as_document(numeric_times), lands=1, transports=("json",)),
    Probe("MUST", "hex ids may be upper case", as_document(upper_ids), lands=1, transports=("json",), signals=ID_BEARERS),
    Probe("MUST", "ids in base64 are bad data", as_document(base64_ids), "bad data", reason="traceId", transports=("json",), signals=ID_BEARERS),
    Probe("here", "enums may be names", as_document(named_enums), lands=1, transports=("json",), signals=ID_BEARERS),
    # --- partial success ---
    bad_span("an all-zero trace id", "trace_id is all zero", trace_id=bytes(16)),
    bad_span("a short trace id", "trace_id has 8 bytes instead of 16", trace_id=b"\x01" * 8),
    bad_span("no trace id", "trace_id has 0 bytes instead of 16", trace_id=b""),
    bad_span("an all-zero span id", "span_id is all zero", span_id=bytes(8)),
    bad_span("a long span id", "span_id has 16 bytes instead of 8", span_id=b"\x01" * 16),
    bad_span("an odd parent id", "parent_span_id has 2 bytes instead of 0 or 8", parent_span_id=b"\x01\x02"),
    bad_span("a time that no clock shows", TOO_NEW, end_time_unix_nano=2**64 - 1),
    bad_span("an end before its start", "the end lies more than 1 s before the start", end_time_unix_nano=1),
    Probe("SHOULD", "an all-zero trace id is none", items(2, trace_id=bytes(16)), lands=2, signals=frozenset({LOGS})),
    Probe("SHOULD", "a trace id of a wrong length is none", items(2, trace_id=b"\x01"), lands=2, signals=frozenset({LOGS})),
    Probe("here", "a time beyond all clocks costs its item", items(2, time_unix_nano=2**64 - 1), lands=1, rejected=1, reason=f"1 × {TOO_NEW}", signals=frozenset({LOGS, METRICS})),
    Probe("here", "no time is that of receipt", untimed, lands=2),
    Probe("here", "a long attribute is cut", items(3, text=LONG), lands=3, rejected=0, reason=f"1 × attribute 'text' {CUT}"),
    Probe("here", "a value at the limit lands", items(2, text=LONG[1:]), lands=2),
    Probe("here", "a long resource attribute is cut", long_resource, lands=4, rejected=0, reason=f"1 × attribute 'long' {CUT}"),
    Probe("here", "a long body is cut", long_body, lands=3, rejected=0, reason=f"1 × body {CUT}", signals=frozenset({LOGS})),
    Probe("here", "a long name is cut", long_name, lands=2, rejected=0, reason=CUT_NAME, signals=frozenset({TRACES, METRICS})),
    # --- bad data: not retryable ---
    Probe("MUST", "garbage is bad data", garbage, "bad data", reason="the body"),
    Probe("MUST", "a wrong type is bad data", wrong_type, "bad data", reason="the body"),
    Probe("MUST", "bad gzip is bad data", raw(b"no gzip"), "bad data", reason="gzip", encoding="gzip!", transports=HTTP),
    Probe("MUST", "half a gzip is bad data", raw(gzip.compress(b"x" * 1000)[:20]), "bad data", reason="gzip", encoding="gzip!", transports=HTTP),
    Probe("MUST", "bad deflate is bad data", raw(b"\xffno"), "bad data", reason="deflate", encoding="deflate!", transports=HTTP),
    Probe("MUST", "bad zstd is bad data", raw(b"no zstd"), "bad data", reason="zstd", encoding="zstd!", transports=HTTP),
    Probe("here", "an unknown encoding is told", raw(b""), "unsupported", reason="'br' is not supported", encoding="br!", transports=HTTP),
    # --- too large: not retryable, and measured while decompressing ---
    Probe("MUST", "a body beyond the limit", raw(bytes(BODY_MAX_BYTES + 1)), "too large"),
    Probe("MUST", "a gzip bomb", ZIPPED_BOMB, "too large", encoding="gzip"),
    Probe("MUST", "a deflate bomb", ZIPPED_BOMB, "too large", encoding="deflate"),
    Probe("MUST", "a zstd bomb", raw(zstandard.compress(bytes(200 * BODY_MAX_BYTES))), "too large", encoding="zstd!", transports=HTTP),
]
# fmt: on
