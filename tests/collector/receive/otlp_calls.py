"""One way to send any signal over any transport, and to read what became of it."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from collector.signals import GRPC_METHODS, REJECTED_FIELDS, REQUEST_TYPES, RESPONSE_TYPES, Signal

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRANSPORTS = ("grpc", "protobuf", "json")
START_NS = 1_790_000_000_000_000_000
_ID_NAMES = ("traceId", "spanId", "parentSpanId")
_numbers = itertools.count(1 << 40)

# gRPC's code, and HTTP's, for what OTLP distinguishes.
OUTCOMES: dict[object, str] = {
    grpc.StatusCode.OK: "ok",
    grpc.StatusCode.INVALID_ARGUMENT: "bad data",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too large",
    grpc.StatusCode.UNAVAILABLE: "try later",
    200: "ok",
    400: "bad data",
    413: "too large",
    415: "unsupported",
    503: "try later",
}


@dataclass
class Outcome:
    """The answer to a sender."""

    code: str
    rejected: int | None = None  # None: partial_success is not set
    reason: str = ""
    retry_hint: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def batch(signal: Signal, service: str, count: int = 1, **changes: Any) -> Message:
    """A request of `count` items from `service`; `changes` are fields of the last one."""
    request: Any = REQUEST_TYPES[signal]()
    match signal:
        case Signal.TRACES:
            resource = request.resource_spans.add()
            items = resource.scope_spans.add().spans
        case Signal.LOGS:
            resource = request.resource_logs.add()
            items = resource.scope_logs.add().log_records
        case Signal.METRICS:
            resource = request.resource_metrics.add()
            items = resource.scope_metrics.add().metrics.add(name="m").gauge.data_points
    resource.resource.attributes.add(key="service.name").value.string_value = service
    for number in range(count):
        own = _sound_fields(signal) | (changes if number == count - 1 else {})
        text = own.pop("text", None)
        item = items.add(**own)
        if text is not None:
            item.attributes.add(key="text").value.string_value = text
    return request  # type: ignore[no-any-return]


def _sound_fields(signal: Signal) -> dict[str, Any]:
    number = next(_numbers)
    time_ns = START_NS + number
    ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
    match signal:
        case Signal.TRACES:
            times = {"start_time_unix_nano": time_ns, "end_time_unix_nano": time_ns + 1}
            return {**ids, "name": "op", "kind": 2, **times}
        case Signal.LOGS:
            return {**ids, "time_unix_nano": time_ns, "severity_number": 9}
        case Signal.METRICS:
            return {"time_unix_nano": time_ns, "as_int": number}


def wire(request: Message, transport: str) -> bytes:
    """The body that carries `request`."""
    return json.dumps(document(request)).encode() if transport == "json" else request.SerializeToString()


def document(request: Message) -> Any:
    """OTLP JSON: protobuf's mapping with integer enums and hex ids."""
    return _with_hex_ids(json_format.MessageToDict(request, use_integers_for_enums=True))


def _with_hex_ids(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_hex_ids(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: base64.b64decode(value).hex() if name in _ID_NAMES else _with_hex_ids(value)
        for name, value in node.items()
    }


def send(
    running: Any, signal: Signal, transport: str, body: bytes, *, encoding: str = "", media_type: str = ""
) -> Outcome:
    """Send a body that is compressed already; gRPC compresses by itself and takes gzip or deflate."""
    if transport == "grpc":
        return _call(running, signal, body, encoding)
    media_type = media_type or (JSON if transport == "json" else PROTOBUF)
    headers = {"content-type": media_type, **({"content-encoding": encoding} if encoding else {})}
    answer = running.http.post(f"/v1/{signal.label}", content=body, headers=headers)
    assert answer.headers["content-type"] == media_type.partition(";")[0], (
        "answers come in the request's type"
    )
    is_ok = answer.status_code == 200
    message = RESPONSE_TYPES[signal]() if is_ok else Status()
    if transport == "json":
        json_format.Parse(answer.text, message)
    else:
        message.ParseFromString(answer.content)
    outcome = Outcome(OUTCOMES[answer.status_code], headers=dict(answer.headers))
    outcome.retry_hint = answer.headers.get("retry-after")
    return _told(outcome, signal, message)


def _call(running: Any, signal: Signal, body: bytes, encoding: str) -> Outcome:
    compression = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}.get(encoding)
    with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
        try:
            answer = channel.unary_unary(GRPC_METHODS[signal])(body, timeout=10, compression=compression)
        except grpc.RpcError as error:
            call: Any = error
            pushback = dict(call.trailing_metadata()).get("grpc-retry-pushback-ms")
            return Outcome(OUTCOMES[call.code()], reason=call.details(), retry_hint=pushback)
    return _told(Outcome("ok"), signal, RESPONSE_TYPES[signal].FromString(answer))


def _told(outcome: Outcome, signal: Signal, message: Any) -> Outcome:
    if isinstance(message, Status):
        assert message.code, "a Status names its code"
        outcome.reason = message.message
    elif message.HasField("partial_success"):
        outcome.rejected = getattr(message.partial_success, REJECTED_FIELDS[signal])
        outcome.reason = message.partial_success.error_message
    return outcome


def landed_count(running: Any, signal: Signal, service: str) -> int:
    """How many items of `service` can be queried, once all that was acknowledged has landed."""
    running.landed()
    view = "spans" if signal is Signal.TRACES else signal.label
    query = f"SELECT count(*) AS n FROM {view} WHERE service_name = ?"
    return int(running.client.sql(query, [service])["n"][0])
