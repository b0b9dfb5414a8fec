"""What searches mean, on a small shop (`conftest.shop`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Find = Callable[[str], list[str]]

ALL = "1/charge 1/checkout 1/pay 1/stock 2/charge 2/checkout 2/pay 2/stock 3/login 4/orphan"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{}", ALL),
        ("{ true }", ALL),
        ("{ false }", ""),
        ('{ resource.service.name = "shop" && duration > 500ms && span.http.route = "/pay" }', "2/checkout"),
        ('{ name = "charge" }', "1/charge 2/charge"),
        ('{ name != "charge" && kind = server }', "1/checkout 2/checkout 3/login"),
        ("{ status = error }", "1/charge"),
        ("{ status != error && kind = server }", "1/checkout 2/charge 2/checkout 3/login"),
        ('{ statusMessage = "declined" }', "1/charge"),
        ("{ kind = client }", "1/pay 2/pay"),
        ("{ duration >= 300ms && duration <= 0.45s }", "2/charge 2/pay"),
        ("{ 450ms <= duration }", "2/checkout 2/pay"),
        # types: a number is no text and a text is no number
        ("{ .http.status_code = 500 }", "1/checkout"),
        ("{ .http.status_code >= 200 }", "1/checkout 2/checkout"),
        ('{ .http.status_code = "200" }', "1/stock 2/stock"),
        ("{ span.code = 500 }", ""),
        ('{ span.code = "500" }', "1/charge 2/charge"),
        ("{ .amount = 12.5 || .amount = 25 }", "1/charge 2/charge"),
        ("{ .vip = true }", "2/checkout"),
        ("{ .vip }", "2/checkout"),
        ("{ !.vip }", "1/checkout"),
        ("{ .vip != true }", "1/checkout"),
        ("{ .order.id = 9007199254740993 }", "1/charge"),
        ("{ .order.id > 9007199254740993 }", "2/charge"),
        ("{ .order.id != 9007199254740993 }", "2/charge"),
        # what is not there
        ('{ .user != "bob" }', "3/login"),
        ("{ .user = nil && kind = server }", "1/charge 1/checkout 2/charge 2/checkout"),
        ("{ .user != nil }", "3/login"),
        ('{ !(.user = "ann") && kind = server }', "1/charge 1/checkout 2/charge 2/checkout"),
        ('{ .empty = "" }', "3/login"),
        ("{ nil != .empty }", "3/login"),
        # scopes
        ('{ resource.service.version = "2" }', "4/orphan"),
        ('{ .service.version = "own" }', "3/login"),
        ('{ .service.version = "1" && kind = server }', "1/charge 1/checkout 2/charge 2/checkout"),
        ('{ span.service.version = "1" }', ""),
        ('{ .service.name = "payment" }', "1/charge 2/charge"),
        ('{ instrumentation:name = "lib-payment" }', "1/charge 2/charge"),
        ('{ event:name = "exception" }', "1/charge"),
        ('{ event.exception.type =~ "Dec.*" }', "1/charge"),
        ('{ parent.http.route = "/pay" && kind = client }', "1/pay 2/pay"),
        ("{ parent.http.status_code = 500 }", "1/pay 1/stock"),
        ("{ span:parentID = nil }", "1/checkout 2/checkout 3/login"),
        ("{ nestedSetParent < 0 }", "1/checkout 2/checkout 3/login"),
        ('{ trace:id = "00000000000000000000000000000003" }', "3/login"),
        # regular expressions are about the whole text
        ('{ name =~ "c.*" }', "1/charge 1/checkout 2/charge 2/checkout"),
        ('{ name =~ "harg" }', ""),
        ('{ name !~ "c.*|pay" && resource.service.name =~ "sh.p" }', "1/stock 2/stock 3/login"),
        ("{ .http.route =~ `/p..` }", "1/checkout 2/checkout"),
        # arithmetic, and fields beside fields
        ("{ .amount * 2 = 50 }", "2/charge"),
        ("{ -.amount < -20 }", "2/charge"),
        ("{ .amount % 10 = 5 && .amount ^ 2 > 600 }", "2/charge"),
        ("{ duration / 1ms > .amount * 20 }", ""),
        ("{ .http.status_code = .http.status_code }", "1/checkout 1/stock 2/checkout 2/stock"),
        # && and || bind equally, from the left, as in Tempo
        ('{ name = "login" || name = "pay" && status = error }', ""),
        ('{ name = "login" || (name = "pay" && status = error) }', "3/login"),
        # the trace
        ('{ rootName = "checkout" && kind = client }', "1/pay 2/pay"),
        ('{ rootServiceName = "shop" }', ALL.replace(" 4/orphan", "")),
        ('{ rootServiceName != "shop" }', ""),
        ("{ rootName = nil }", "4/orphan"),
        ("{ traceDuration > 500ms && status = unset && kind = server }", "2/charge 2/checkout"),
        ("{ trace:duration <= 5ms }", "3/login 4/orphan"),
        ("{ childCount > 1 }", "1/checkout 2/checkout"),
        # sets
        ('{ name = "pay" } && { status = error }', "1/charge 1/pay"),
        ('{ name = "pay" } && { name = "login" }', ""),
        ('{ name = "login" } || { status = error }', "1/charge 3/login"),
        ("{ kind = server } > { kind = client }", "1/pay 2/pay"),
        ('{ name = "checkout" } >> { resource.service.name = "payment" }', "1/charge 2/charge"),
        ('{ name = "checkout" } > { resource.service.name = "payment" }', ""),
        ("{ status = error } < { kind = client }", "1/pay"),
        ("{ status = error } << { kind = server }", "1/checkout"),
        ('{ name = "pay" } ~ { name = "stock" }', "1/stock 2/stock"),
        ('{ name = "pay" } ~ { name = "pay" }', ""),
        ('{ name = "checkout" } !>> { kind = server }', "1/checkout 2/checkout 3/login"),
        ('{ name = "checkout" } !> { duration < 20ms }', "3/login 4/orphan"),
        ("{ kind = client } &> { status = error }", "1/charge 1/pay"),
        ('{ name = "checkout" } &>> { status = error }', "1/charge 1/checkout"),
        ('{ name = "checkout" } > { kind = client } > { status = error }', "1/charge"),
        ('{ kind = client } && { name = "checkout" } >> { status = error }', "1/charge 1/pay"),
        # stages
        ("{} | count() > 3", "1/charge 1/checkout 1/pay 1/stock 2/charge 2/checkout 2/pay 2/stock"),
        ("{ kind = server } | count() = 1", "3/login"),
        ("{ kind = server } | avg(duration) > 100ms", "2/charge 2/checkout"),
        ("{} | max(duration) < 6ms", "3/login 4/orphan"),
        ("{} | min(.amount) > 20", "2/charge 2/checkout 2/pay 2/stock"),
        ("{ .amount != nil } | sum(.amount) = 12.5", "1/charge"),
        ("{} | by(resource.service.name) | count() = 3", "1/checkout 1/pay 1/stock 2/checkout 2/pay 2/stock"),
        ("{} | by(kind) | count() = 2 | coalesce() | count() = 2", "1/charge 1/checkout 2/charge 2/checkout"),
        ("{} | { kind = server } | { status = error }", "1/charge"),
        ("count() = 1", "3/login 4/orphan"),
        (
            "({ kind = server } | count() = 2) && { kind = client }",
            "1/charge 1/checkout 1/pay 2/charge 2/checkout 2/pay",
        ),
        ('({ name = "pay" } | count() = 1) > { kind = server }', "1/charge 2/charge"),
        ("{ status = error } | select(.amount) // a comment", "1/charge"),
    ],
)
def test_meaning(find: Find, query: str, expected: str) -> None:
    """A search finds these spans and no others."""
    assert find(query) == expected.split()


def test_not_a_number(ask: Callable[..., Any]) -> None:
    """A value that JSON has no number for is shown as text."""
    (trace,) = ask("{ .ratio != nil } | select(.ratio, .limit)").json()["traces"]
    assert trace["matched_spans"][0]["values"] == {".ratio": "NaN", ".limit": "Infinity"}


def test_what_is_shown(ask: Callable[..., Any]) -> None:
    """A trace is shown with its root, figures and matching spans with the selected values."""
    answer = ask("{ status = error } | select(.amount, kind, .vip)").json()
    assert answer["count"] == 1
    assert answer["truncated"] is False
    assert answer["traces"] == [
        {
            "trace_id": "00000000000000000000000000000001",
            "root_service_name": "shop",
            "root_span_name": "checkout",
            "has_root": True,
            "start_time": "2026-09-21T14:13:21.000000000Z",
            "duration_ns": 100_000_000,
            "span_count": 4,
            "error_count": 1,
            "services": ["payment", "shop"],
            "matched_count": 1,
            "matched_spans": [
                {
                    "span_id": "00000000000003eb",
                    "service_name": "payment",
                    "span_name": "charge",
                    "span_kind": "SERVER",
                    "status_code": "ERROR",
                    "start_time": "2026-09-21T14:13:21.002000000Z",
                    "duration_ns": 33_333_333,
                    "values": {".amount": 12.5, "kind": "server"},
                }
            ],
            "severity": "SEV2",
            "anomaly_sigma": None,
        }
    ]
