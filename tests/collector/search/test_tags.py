"""Completion: which names and values landed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

START_NS = 1_790_000_000_000_000_000
TIMES = {"start": START_NS, "end": START_NS + 10**12}
Get = Callable[..., Any]


@pytest.fixture(scope="session")
def get(shop: Any) -> Get:
    def ask(path: str, **params: Any) -> Any:
        return shop.api.get(f"/api/traces/tags{path}", params={**TIMES, **params}).json()

    return ask


def test_names(get: Get) -> None:
    """Names are listed by scope, the most frequent first."""
    scopes = {scope["name"]: scope["tags"] for scope in get("")["scopes"]}
    assert scopes["resource"] == ["service.name", "service.version"]
    assert scopes["span"][0] == "http.status_code"
    assert scopes["event"] == ["exception.type"]
    assert {"rootName", "span:duration", "anomaly"} <= set(scopes["intrinsic"])
    only = get("", scope="span", limit=1)["scopes"]
    assert only == [{"name": "span", "tags": ["http.status_code"]}]
    assert "is not known" in get("", scope="planet")["error"]["message"]


@pytest.mark.parametrize(
    ("tag", "search", "expected"),
    [
        ("resource.service.name", None, ["string shop 7", "string payment 2", "string audit 1"]),
        (".http.status_code", None, ["string 200 2", "int 200 1", "int 500 1"]),
        ("span.vip", None, ["bool false 1", "bool true 1"]),
        ("span.amount", None, ["float 12.5 1", "float 25.0 1"]),
        ("name", '{ resource.service.name = "payment" }', ["string charge 2"]),
        ("rootName", None, ["string checkout 2", "string login 1"]),
        ("span.nothing", None, []),
        ("status", None, ["keyword error 0", "keyword ok 0", "keyword unset 0"]),
    ],
)
def test_values(get: Get, tag: str, search: str | None, expected: list[str]) -> None:
    """Values come with their type and how many spans have them; a filter bounds them."""
    answer = get(f"/{tag}/values", **({"q": search} if search else {}))
    assert [" ".join(map(str, value.values())) for value in answer["values"]] == expected
    assert answer["truncated"] is False


@pytest.mark.parametrize("tag", ["http.route", "parent.a", "event.a", "traceDuration", "span.a, name", "{}"])
def test_no_field(get: Get, tag: str) -> None:
    """Names that are no field with values are refused."""
    assert get(f"/{tag}/values")["error"]["code"] == "invalid_input"
