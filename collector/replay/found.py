"""The results of reading a file: requests, and reasons why something cannot be sent."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.signals import Signal


class Found(NamedTuple):
    """A request of a file."""

    place: str  # e.g. `spans.jsonl:12`
    signal: Signal
    request: Message


class Refused(NamedTuple):
    """Something in a file that cannot be sent."""

    place: str
    reason: str


class Converted(NamedTuple):
    """Spans of another format as OTLP, or the reason why one of them cannot be read."""

    place: str
    request: ExportTraceServiceRequest | None
    reason: str


def describe(document: object) -> str:
    """Describes a JSON value for the message that nothing was found in it."""
    match document:
        case dict():
            names = [str(name)[:40] for name in document]
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            return f"an object with {', '.join(names[:6])}{more}" if names else "an empty object"
        case list():
            return (
                f"a list of {len(document):,}, first {describe(document[0])}" if document else "an empty list"
            )
        case str():
            return "a text"
        case None:
            return "null"
        case bool():
            return "true or false"
        case _:
            return "a number"
