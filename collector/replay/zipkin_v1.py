"""Spans of Zipkin v1 as spans of v2: annotations carry the kind, the endpoints and often the times.

Rules: V1SpanConverter of https://github.com/openzipkin/zipkin (zipkin2.v1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Json = Mapping[str, Any]


class _Half(NamedTuple):
    """The part of a span that one side reports."""

    kind: str
    begin: str  # the annotations of its ends
    end: str
    remote: str  # the binary annotation that names the other side


# The client's half is first: the times of the span are its.
_HALVES = (
    _Half("CLIENT", "cs", "cr", "sa"),
    _Half("SERVER", "sr", "ss", "ca"),
    _Half("PRODUCER", "ms", "", "ma"),
    _Half("CONSUMER", "mr", "", "ma"),
)
_CORE = frozenset(name for half in _HALVES for name in (half.begin, half.end) if name)
_ADDRESSES = frozenset(half.remote for half in _HALVES)
_LOCAL_COMPONENT = "lc"


def is_v1(span: Json) -> bool:
    """Whether an object with Zipkin's ids is a span of v1: only there annotations have an endpoint."""
    annotations = span.get("annotations")
    return "binaryAnnotations" in span or (
        isinstance(annotations, list)
        and any(isinstance(one, dict) and "endpoint" in one for one in annotations)
    )


def as_v2(span: Json) -> Iterator[dict[str, Any]]:
    """One span, or two where client and server have reported into one.

    Raises:
        KeyError, TypeError, AttributeError: it is no span of v1.
    """
    annotations: Sequence[Json] = span.get("annotations") or ()
    binary: Sequence[Json] = span.get("binaryAnnotations") or ()
    core = {one["value"]: one for one in annotations if one["value"] in _CORE}
    addresses = {one["key"]: one.get("endpoint") for one in binary if one["key"] in _ADDRESSES}
    halves = [half for half in _HALVES if half.begin in core or half.end in core]
    if not halves:  # a caller that knows only whom it called; else work within a process
        halves = [half for half in _HALVES if half.remote in addresses][:1]
    services = [_service(_local(half, core)) for half in halves]
    for number, half in enumerate([*halves] or [None]):

        def is_own(one: Json, number: int = number) -> bool:
            """Noted by the service of this half; what no half's service has noted is the first's."""
            service = _service(one.get("endpoint"))
            return (services.index(service) if service in services else 0) == number

        noted = list(filter(is_own, annotations)), list(filter(is_own, binary))
        yield _span(span, half, core, addresses, noted, is_first=number == 0)


def _span(
    span: Json,
    half: _Half | None,
    core: Mapping[str, Json],
    addresses: Json,
    noted: tuple[Sequence[Json], Sequence[Json]],
    *,
    is_first: bool,
) -> dict[str, Any]:
    """One half; `noted`: its annotations and its binary annotations."""
    annotations, binary = noted
    begin = core.get(half.begin) if half else None
    end = core.get(half.end) if half else None
    timestamp = span.get("timestamp") if is_first else None
    duration = span.get("duration") if is_first else None
    if not timestamp and begin:
        timestamp = begin["timestamp"]
    if not duration and begin and end:
        duration = end["timestamp"] - begin["timestamp"]
    if not timestamp and end:  # the other end has not been reported
        timestamp = end["timestamp"]
    places = (one.get("endpoint") for one in (*binary, *annotations) if one.get("key") not in _ADDRESSES)
    local = (_local(half, core) if half else None) or next(filter(None, places), None)
    return {
        "traceId": span["traceId"],
        "id": span["id"],
        "parentId": span.get("parentId"),
        "name": span.get("name"),
        "kind": half.kind if half else None,
        "timestamp": timestamp,
        "duration": duration,
        "localEndpoint": local,
        "remoteEndpoint": addresses.get(half.remote) if half else None,
        "annotations": [one for one in annotations if one["value"] not in _CORE],
        "tags": {
            one["key"]: one.get("value")
            for one in binary
            if one["key"] not in _ADDRESSES and (one["key"] != _LOCAL_COMPONENT or one.get("value"))
        },
    }


def _local(half: _Half, core: Mapping[str, Json]) -> Json | None:
    one = core.get(half.begin) or core.get(half.end) or {}
    return one.get("endpoint")


def _service(endpoint: Json | None) -> str:
    return str((endpoint or {}).get("serviceName") or "")
