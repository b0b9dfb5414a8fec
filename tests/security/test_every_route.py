"""Every path of the API, as the OpenAPI document names them, against input that nobody should send."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

JSON_HEADERS = {"content-type": "application/json"}
# As they stand in an address: percent-encoded where they must be.
TEXTS = [
    "",
    "%00",
    "a%00b",
    "%ff%fe",
    "%ED%A0%80",
    "%F0%9F%90%8B",
    "%E2%80%AE",
    "..%2f..%2fetc%2fpasswd",
    "%27;DROP%20TABLE%20spans--",
    "{}",
    "x" * 50_000,
]
NUMBERS = [
    "-1",
    "0",
    "1",
    "1.5",
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 19,
    "1e400",
    "NaN",
    "inf",
    "0x10",
    "%D9%A1",
]
BODIES: list[object] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    2**63,
    "",
    "x" * 100_000,
    "a\x00b",
    "\u202e🐋",
    [],
    [[[]]],
    [None] * 1000,
    {},
    {"": None},
    {"x" * 50_000: "y"},
]
IDS = ["a", "0" * 32, "x" * 5000, "a\x00b"]


class Ask(NamedTuple):
    method: str
    url: str
    body: bytes | None = None


def addresses(path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """The path with each parameter in turn at its worst."""
    parameters = operation.get("parameters", [])
    in_path = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
    plain = path
    for name in in_path:
        plain = plain.replace(f"{{{name}}}", "a")
        for value in TEXTS:
            yield path.replace(f"{{{name}}}", value).replace("{", "").replace("}", "")
    yield f"{plain}?unknown=1&=&&%00=%00"
    for parameter in parameters:
        if parameter["in"] == "query":
            for value in TEXTS + NUMBERS:
                yield f"{plain}?{parameter['name']}={value}"
            yield f"{plain}?" + "&".join([f"{parameter['name']}=1"] * 1000)


def bodies(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[bytes]:
    """Bodies that are no objects, and objects with each field in turn at its worst."""
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    name = content.get("$ref", "").rpartition("/")[2]
    fields = document["components"]["schemas"][name]["properties"] if name else {"state": {}, "said_by": {}}
    sound = {
        "query": "SELECT 1",
        "explanation_id": "a",
        "rating": "up",
        "anomaly_id": "a",
        "state": "acknowledged",
    }
    for body in BODIES:
        yield json.dumps(body).encode()
        for field in fields:
            others = {key: value for key, value in sound.items() if key in fields and key != field}
            yield json.dumps({**others, field: body}).encode()
    for field, text in itertools.product(fields, IDS):
        yield json.dumps({field: text}).encode()


def reads_accept(operation: Mapping[str, Any]) -> bool:
    return any(parameter["name"] == "accept" for parameter in operation.get("parameters", []))


def asks(document: Mapping[str, Any], *, by_accept: bool) -> Iterator[Ask]:
    """Args: by_accept: an operation that does not read `Accept` is asked once."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            has_body = "requestBody" in operation
            if by_accept and not reads_accept(operation):
                plain = path.replace("{", "").replace("}", "")
                yield Ask(method, f"{plain}?unknown=1", b"{}" if has_body else None)
                continue
            for url in addresses(path, operation):
                yield Ask(method, url, b"{}" if has_body else None)
            if has_body:
                plain = next(url for url in addresses(path.replace("{", "").replace("}", ""), {}))
                for body in bodies(document, operation):
                    yield Ask(method, plain.partition("?")[0], body)
        for method in ("put", "delete", "patch", "trace", "options"):
            yield Ask(method, path.replace("{", "").replace("}", ""))


def is_error(url: str, told: Mapping[str, Any]) -> bool:
    """The form of all errors; Jaeger's clients read their own."""
    if url.startswith("/jaeger/api/v3/") and told.get("error", {}).keys() == {"httpCode", "message"}:
        return True
    if url.startswith("/jaeger/api/") and "errors" in told:
        return told["data"] is None and all(error.keys() == {"code", "msg"} for error in told["errors"])
    return bool(told["error"].keys() == {"code", "message", "details"})


@pytest.mark.parametrize(
    ("accept", "by_accept"), [("application/json", False), ("text/event-stream", True)], ids=str
)
def test_every_route(whole: Any, accept: str, by_accept: bool) -> None:
    """No input makes the server fail, and each refusal has the one form of all errors, also where a stream
    was asked for."""
    document = whole.api.get("/openapi.json").json()
    assert {"/api/sql", "/api/monitor/analyze", "/api/monitor/training/export"} <= document["paths"].keys()
    statuses: dict[int, int] = {}
    for method, url, body in asks(document, by_accept=by_accept):
        headers = {"accept": accept, **(JSON_HEADERS if body is not None else {})}
        answer = whole.api.request(method, url, content=body, headers=headers, timeout=30)
        shown = (method, url[:200], (body or b"")[:200], answer.status_code, answer.text[:300])
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, shown
        assert "Traceback" not in answer.text, shown
        if answer.status_code >= 400:
            assert is_error(url, answer.json()), shown
            assert len(answer.content) < 10_000, shown
    assert sum(statuses.values()) > (300 if by_accept else 500)
    assert statuses[200] > 10
    assert statuses[422] > 50
