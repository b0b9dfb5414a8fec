"""Files of Zipkin v1, whose annotations carry kinds, endpoints and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.replay.reader import read_file
from tests.collector.replay.foreign_files import START_US, spans_in, write

WEB, SHOP = (
    {"serviceName": "web", "ipv4": "10.0.0.1"},
    {"serviceName": "shop", "ipv4": "10.0.0.2", "port": 80},
)
IDS = {"traceId": "463ac35c9f6413ad", "id": "a2fb4a1d1a96d312", "name": "get /pay"}
CLIENT = [
    {"timestamp": START_US, "value": "cs", "endpoint": WEB},
    {"timestamp": START_US + 900, "value": "cr", "endpoint": WEB},
]
SERVER = [
    {"timestamp": START_US + 200, "value": "sr", "endpoint": SHOP},
    {"timestamp": START_US + 700, "value": "ss", "endpoint": SHOP},
]


def read(tmp_path: Path, *spans: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """(service, kind, microseconds after START_US, duration in µs) of each span in the file."""
    ((found, _),) = read_file(write(tmp_path / "v1.json", [list(spans)]))
    return [
        (
            next((a.value.string_value for a in resource.resource.attributes if a.key == "service.name"), ""),
            type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            span.start_time_unix_nano // 1000 - START_US,
            (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
        )
        for resource in found.request.resource_spans  # type: ignore[union-attr]  # not refused
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"annotations": SERVER}, ("shop", "SERVER", 200, 500)),
        ({"annotations": SERVER, "timestamp": START_US, "duration": 7}, ("shop", "SERVER", 0, 7)),
        ({"annotations": CLIENT[:1], "binaryAnnotations": None}, ("web", "CLIENT", 0, 0)),
        ({"annotations": SERVER[1:]}, ("shop", "SERVER", 700, 0)),
        (
            {"annotations": [{"timestamp": START_US + 5, "value": "ms", "endpoint": WEB}]},
            ("web", "PRODUCER", 5, 0),
        ),
        (
            {
                "timestamp": START_US,
                "binaryAnnotations": [{"key": "lc", "value": "", "endpoint": SHOP}],
            },
            ("shop", "INTERNAL", 0, 0),
        ),
        (
            {
                "timestamp": START_US,
                "duration": 3,
                "binaryAnnotations": [
                    {"key": "sql", "value": "SELECT 1", "endpoint": WEB},
                    {"key": "sa", "value": True, "endpoint": SHOP},
                ],
            },
            ("web", "CLIENT", 0, 3),
        ),
    ],
)
def test_kinds_and_times(tmp_path: Path, change: dict[str, Any], expected: tuple[object, ...]) -> None:
    """Kind, service and times come from the annotations where the span does not say them."""
    assert read(tmp_path, {**IDS, **change}) == [expected]


def test_both_halves_in_one_span(tmp_path: Path) -> None:
    """A span into which client and server have reported becomes both, each with its own times."""
    both = {**IDS, "timestamp": START_US, "duration": 900, "annotations": [*CLIENT, *SERVER]}
    assert read(tmp_path, both) == [("web", "CLIENT", 0, 900), ("shop", "SERVER", 200, 500)]


def test_tags_peer_and_notes(tmp_path: Path) -> None:
    """Binary annotations are tags, addresses the peer, other annotations events; each with its own half."""
    noted = {"timestamp": START_US + 300, "value": "cache miss", "endpoint": SHOP}
    binary = [
        {"key": "http.path", "value": "/pay", "endpoint": SHOP},
        {"key": "error", "value": "timeout", "endpoint": WEB},
        {"key": "sa", "value": True, "endpoint": SHOP},
    ]
    path = write(
        tmp_path / "v1.json",
        {**IDS, "parentId": "1", "annotations": [*CLIENT, *SERVER, noted], "binaryAnnotations": binary},
    )
    client, server = spans_in(path)
    assert {one.key for one in client.attributes} == {"error", "peer.service", "net.peer.ip", "net.peer.port"}
    assert (client.status.message, client.parent_span_id.hex()) == ("timeout", "0000000000000001")
    assert [(one.key, one.value.string_value) for one in server.attributes] == [("http.path", "/pay")]
    assert ([event.name for event in client.events], [event.name for event in server.events]) == (
        [],
        ["cache miss"],
    )
