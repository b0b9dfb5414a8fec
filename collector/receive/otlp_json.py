"""OTLP JSON to messages. It is protobuf's JSON mapping with three differences: trace and span ids are hex,
enums are numbers (names are accepted too), and unknown fields are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from collector.errors import MalformedBody
from collector.signals import REQUEST_TYPES, Signal

_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_DEPTH_MAX = 100  # protobuf's own limit for nested messages
_SPECIAL_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

Convert = Callable[[Any], Any]


def parse_json(signal: Signal, body: bytes) -> Message:
    """An export request from OTLP JSON.

    Raises:
        MalformedBody: not JSON, or a value that does not fit its field; the message names the path.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON ({error})") from error
    request = REQUEST_TYPES[signal]()
    _fill(request, document, "", 0)
    return request


def _fill(message: Message, document: object, path: str, depth: int) -> None:
    if not isinstance(document, dict):
        raise MalformedBody(f"{path or 'the body'} must be an object, not {_kind(document)}")
    if depth > _DEPTH_MAX:
        raise MalformedBody(f"{path} is nested deeper than {_DEPTH_MAX} levels")
    fields = _fields(message.DESCRIPTOR)
    for name, value in document.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        place = f"{path}.{name}" if path else name
        if field.is_repeated:
            if not isinstance(value, list):
                raise MalformedBody(f"{place} must be an array, not {_kind(value)}")
            items = getattr(message, field.name)
            for number, item in enumerate(value):
                if field.message_type is not None:
                    _fill(items.add(), item, f"{place}[{number}]", depth + 1)
                else:
                    items.append(_scalar(field, item, f"{place}[{number}]"))
        elif field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            _fill(child, value, place, depth + 1)
        else:
            scalar = _scalar(field, value, place)
            try:
                setattr(message, field.name, scalar)
            except (ValueError, TypeError) as error:
                raise MalformedBody(f"{place}: {error}") from error


@cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Fields under their JSON names and, as protobuf's mapping asks, under their own."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def _scalar(field: FieldDescriptor, value: object, place: str) -> object:
    try:
        return _converter(field)(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedBody(f"{place}: {error}") from error


@cache
def _converter(field: FieldDescriptor) -> Convert:  # noqa: PLR0911  # one for each type
    if field.enum_type is not None:
        names = {value.name: value.number for value in field.enum_type.values}
        return lambda value: names[value] if value in names else _integer(value, -(2**31), 2**31)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_STRING:
                return _text
            return _hex if field.name in _HEX_FIELDS else _base64
        case FieldDescriptor.CPPTYPE_BOOL:
            return _boolean
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return _double
        case FieldDescriptor.CPPTYPE_INT32:
            return lambda value: _integer(value, -(2**31), 2**31)
        case FieldDescriptor.CPPTYPE_UINT32:
            return lambda value: _integer(value, 0, 2**32)
        case FieldDescriptor.CPPTYPE_INT64:
            return lambda value: _integer(value, -(2**63), 2**63)
        case _:
            return lambda value: _integer(value, 0, 2**64)


def _integer(value: object, first: int, beyond: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected an integer, not {_kind(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"expected an integer, not {value}")
    number = int(value)
    if not first <= number < beyond:
        raise ValueError(f"{number} is out of range")
    return number


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, not {_kind(value)}")
    return _SPECIAL_FLOATS[value] if isinstance(value, str) and value in _SPECIAL_FLOATS else float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {_kind(value)}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, not {_kind(value)}")
    value.encode()  # a lone surrogate is JSON, but not UTF-8
    return value


def _hex(value: object) -> bytes:
    return bytes.fromhex(_text(value))


def _base64(value: object) -> bytes:
    # Both alphabets, padding optional: protobuf's mapping accepts all four.
    text = _text(value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64 ({error})") from error


def _kind(value: object) -> str:
    return {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
