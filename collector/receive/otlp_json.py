"""OTLP JSON to messages. It is protobuf's JSON mapping with three differences: trace and span ids are hex,
enums are numbers (names are accepted too), and unknown fields are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from collector.errors import MalformedBody
from collector.receive.former import former_kinds, former_names
from collector.signals import REQUEST_TYPES, Signal

_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_DEPTH_MAX = 100  # protobuf's own limit for nested messages
_QUOTED_CHARS_MAX = 40
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
    return fill_json(signal, document)


def fill_json(signal: Signal, document: object) -> Message:
    """An export request from OTLP JSON that is parsed already.

    Raises:
        MalformedBody: a value does not fit its field; the message names the path.
    """
    request = REQUEST_TYPES[signal]()
    try:
        _fill(request, document, 0)
    except Misfit as misfit:
        raise MalformedBody(f"{misfit.place or 'the body'}{misfit.complaint}") from misfit
    return request


def fill_part(message: Message, document: object, depth: int) -> None:
    """A message that lies `depth` below its request, from OTLP JSON that is parsed already.

    Raises:
        Misfit: a value does not fit its field.
    """
    _fill(message, document, depth)


class Misfit(Exception):
    """A value that does not fit. Its place is put together on the way up: documents that fit pay nothing."""

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.place = ""

    def inside(self, name: str) -> None:
        dot = "." if self.place and not self.place.startswith("[") else ""
        self.place = f"{name}{dot}{self.place}"


def _fill(message: Message, document: object, depth: int) -> None:
    if not isinstance(document, dict):
        raise Misfit(f" must be an object, not {_kind(document)}")
    if depth > _DEPTH_MAX:
        raise Misfit(f" is nested deeper than {_DEPTH_MAX} levels")
    kind: Any = type(message)
    fields = _fields(kind)
    for name, value in document.items():
        known = fields.get(name)
        if known is None or value is None:
            if name in former_kinds() and isinstance(message, Metric):
                message.MergeFromString(former_kinds()[name])  # which is refused as on the wire
            continue
        attribute, is_repeated, convert = known
        try:
            if is_repeated:
                _fill_list(getattr(message, attribute), value, convert, depth)
            elif convert is not None:
                setattr(message, attribute, convert(value))
            else:
                child = getattr(message, attribute)
                child.SetInParent()  # an empty message is set too
                _fill(child, value, depth + 1)
        except Misfit as misfit:
            misfit.inside(name)
            raise
        except (ValueError, TypeError, OverflowError) as error:
            problem = Misfit(f": {error}")
            problem.inside(name)
            raise problem from error


def _fill_list(items: Any, values: object, convert: Convert | None, depth: int) -> None:
    if not isinstance(values, list):
        raise Misfit(f" must be an array, not {_kind(values)}")
    number = 0
    try:
        if convert is None:
            for number, value in enumerate(values):  # noqa: B007  # told in the error
                _fill(items.add(), value, depth + 1)
        else:
            for number, value in enumerate(values):  # noqa: B007  # as above
                items.append(convert(value))
    except Misfit as misfit:
        misfit.inside(f"[{number}]")
        raise
    except (ValueError, TypeError, OverflowError) as error:
        problem = Misfit(f": {error}")
        problem.inside(f"[{number}]")
        raise problem from error


class _Field(NamedTuple):
    attribute: str
    is_repeated: bool
    convert: Convert | None  # None: a message


@cache
def _fields(kind: type[Message]) -> dict[str, _Field]:
    """Fields under their JSON names and, as protobuf's mapping asks, under their own; and under those that
    OTLP gave them before version 0.15."""
    return {
        name: _Field(
            field.name, field.is_repeated, None if field.message_type is not None else _converter(field)
        )
        for field in kind.DESCRIPTOR.fields
        for name in (field.name, field.json_name, *former_names(field.name))
    }


def _converter(field: Any) -> Convert:  # noqa: PLR0911  # one for each type
    if field.enum_type is not None:
        names = {value.name: value.number for value in field.enum_type.values}
        return lambda value: _enum(value, names)
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


def _enum(value: object, names: dict[str, int]) -> int:
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        if value not in names:
            raise ValueError(f"expected a number or a name such as {[*names][-1]}, not {_quoted(value)}")
        return names[value]
    return _integer(value, -(2**31), 2**31)


def _integer(value: object, first: int, beyond: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected an integer, not {_kind(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"expected an integer, not {value}")
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"expected an integer, not {_quoted(value)}") from None
    if not first <= number < beyond:
        raise ValueError(f"{number} is out of range")
    return number


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, not {_kind(value)}")
    try:
        return _SPECIAL_FLOATS[value] if isinstance(value, str) and value in _SPECIAL_FLOATS else float(value)
    except ValueError:
        raise ValueError(f"expected a number, not {_quoted(value)}") from None


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
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise ValueError(f"expected hexadecimal digits, two for each byte, not {_quoted(value)}") from None


def _base64(value: object) -> bytes:
    # Both alphabets, padding optional: protobuf's mapping accepts all four.
    text = _text(value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64 ({error})") from error


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= _QUOTED_CHARS_MAX else text[:_QUOTED_CHARS_MAX] + "…")


def _kind(value: object) -> str:
    return {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
