"""JSON bodies of the API that are no JSON by the letter, or nested or divided without end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.http.json_check import check_json, depth
from collector.http.requests import DEPTH_MAX

JSON_HEADERS = {"content-type": "application/json"}
POSTS = [
    "/api/sql",
    "/api/monitor/analyze",
    "/api/monitor/feedback",
    "/api/monitor/anomalies/a/state",
    "/api/monitor/incidents/a/state",
    "/api/monitor/incidents/a/expected",
]
NESTED = {
    "arrays": b"[" * 20_000 + b"]" * 20_000,
    "objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "parameters": b'{"query": "SELECT ?", "params": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
    "a hundred levels": b'{"query": "SELECT ?", "params": [' + b"[" * 100 + b"]" * 100 + b"]}",
    "unknown field": b'{"state": "open", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "never closed": b"[" * 90_000,
}
WRONG = {
    "NaN": b'{"query": "SELECT ?", "params": [NaN]}',
    "infinity": b'{"query": "SELECT ?", "params": [-Infinity]}',
    "beyond a double": b'{"query": "SELECT ?", "params": [1e999]}',
    "5,000 digits": b'{"query": "SELECT ?", "params": [' + b"9" * 5000 + b"]}",
    "not UTF-8": b'{"query": "SELECT \'\xff\'"}',
    "unpaired surrogate": b'{"query": "SELECT \'\\ud800\'"}',
    "surrogate as a key": b'{"\\udfff": 1}',
    "null byte": b'{"query": "SELECT 1\x00"}',
    "UTF-16": '{"query": "SELECT 1"}'.encode("utf-16"),
    "cut off": b'{"query": "SELECT 1"',
    "quotes and backslashes": b'"' + b'\\"' * 200_000,
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [*NESTED.values(), *WRONG.values()], ids=[*NESTED, *WRONG])
def test_refused(whole: Any, path: str, body: bytes) -> None:
    """Every path that takes a body answers 400, says what is wrong, and has no traceback."""
    answer = whole.api.post(path, content=body, headers=JSON_HEADERS)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "malformed_body"
    assert "nested" in error["message"] or "not JSON" in error["message"]


def test_many_values(whole: Any) -> None:
    """A body of hundreds of thousands of empty objects is 413."""
    body = b'{"query": "SELECT 1", "params": [' + b"{}," * 300_000 + b"{}]}"
    answer = whole.api.post("/api/sql", content=body, headers=JSON_HEADERS)
    assert answer.status_code == 413
    assert answer.json()["error"]["details"] == {"max_values": 100_000}


def test_many_problems(whole: Any) -> None:
    """A body with 10,000 mistakes gets a short answer."""
    body = {f"field_{number}": number for number in range(10_000)}
    answer = whole.api.post("/api/monitor/analyze", json=body)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000


@given(st.integers(0, DEPTH_MAX), st.text())
def test_depth(levels: int, text: str) -> None:
    """Brackets are counted outside of strings only, and what is within the limits passes."""
    import json

    document = json.dumps(text)
    for level in range(levels):
        document = f"[{document}]" if level % 2 else f'{{"{{[": {document}}}'
    assert depth(document.encode()) == levels
    check_json(document.encode(), parts_max=10_000, depth_max=DEPTH_MAX)
