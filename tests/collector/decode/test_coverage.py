"""No field of OTLP is lost on the way to a row: traces, logs, the five metric kinds, exemplars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces

Path = tuple[str, ...]
Decode = Callable[[list[bytes]], "pa.Table | list[pa.Table]"]

METRIC_KINDS = ["gauge", "sum", "histogram", "exponential_histogram", "summary"]
CASES: list[Any] = [
    pytest.param(ExportTraceServiceRequest, decode_traces, {}, id="traces"),
    pytest.param(ExportLogsServiceRequest, decode_logs, {}, id="logs"),
    *(
        pytest.param(ExportMetricsServiceRequest, decode_metrics, {"data": kind, "value": number}, id=name)
        for kind in METRIC_KINDS
        for number in (["as_double", "as_int"] if kind in {"gauge", "sum"} else ["as_double"])
        for name in [f"{kind}-{number}"]
    ),
]
# Experimental pointers into resource attributes, which are stored whole.
LEFT_OUT = {"opentelemetry.proto.resource.v1.Resource.entity_refs"}
# Their inside is the business of tests/collector/decode/test_variant.py.
ATTRIBUTE, ANY_VALUE = "opentelemetry.proto.common.v1.KeyValue", "opentelemetry.proto.common.v1.AnyValue"
ID_BYTES = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
_TEXT, _BYTES, _BOOL, _ENUM = (
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
)


def fields_of(message: Descriptor, chosen: dict[str, str]) -> Iterator[FieldDescriptor]:
    """All fields of a message, of a oneof only the chosen member."""
    for field in message.fields:
        oneof = field.containing_oneof
        is_optional = oneof is not None and oneof.name.startswith("_")
        if field.full_name in LEFT_OUT:
            continue
        if oneof is None or is_optional or chosen.get(oneof.name) == field.name:
            yield field


def is_leaf(field: FieldDescriptor) -> bool:
    return field.message_type is None or field.message_type.full_name in {ATTRIBUTE, ANY_VALUE}


def paths_of(message: Descriptor, chosen: dict[str, str], before: Path = ()) -> Iterator[Path]:
    """The way to every leaf."""
    for field in fields_of(message, chosen):
        if is_leaf(field):
            yield (*before, field.name)
        else:
            yield from paths_of(field.message_type, chosen, (*before, field.name))


def fill(message: Message, chosen: dict[str, str], changed: Path | None) -> None:
    """Give every leaf a value, and the one at `changed` another; lists have one element."""
    for field in fields_of(message.DESCRIPTOR, chosen):
        turn = 2 if changed == (field.name,) else 1
        if not is_leaf(field):
            inner = getattr(message, field.name)
            deeper = changed[1:] if changed and changed[0] == field.name else None
            fill(inner.add() if field.is_repeated else inner, chosen, deeper or None)
        elif field.message_type is None:
            value = scalar(field, turn)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        elif field.message_type.full_name == ATTRIBUTE:
            getattr(message, field.name).add(key="key").value.int_value = turn
        else:
            getattr(message, field.name).int_value = turn


def scalar(field: FieldDescriptor, turn: int) -> object:
    if field.type == _BOOL:
        return turn == 2
    if field.type == _BYTES:
        return bytes([turn]) * ID_BYTES[field.name]
    return f"{field.name}-{turn}" if field.type == _TEXT else turn


def rows_of(decode: Decode, request: Message) -> list[Any]:
    tables = decode([request.SerializeToString()])
    return [t.to_pylist() for t in (tables if isinstance(tables, list) else [tables])]


@pytest.mark.parametrize(("kind", "decode", "chosen"), CASES)
def test_every_field_reaches_the_row(kind: type[Message], decode: Decode, chosen: dict[str, str]) -> None:
    """Whichever field of a request changes, its row changes: a field that OTLP gains fails here until it
    has a column."""
    request = kind()
    fill(request, chosen, None)
    base = rows_of(decode, request)
    assert base, "the request has a row"
    lost = []
    paths = list(paths_of(kind.DESCRIPTOR, chosen))
    for path in paths:
        request = kind()
        fill(request, chosen, path)
        if rows_of(decode, request) == base:
            lost.append(".".join(path))
    assert len(paths) >= 15
    assert lost == []
