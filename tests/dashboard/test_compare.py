"""Traces laid over each other, and the prompts of language models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard import genai
from dashboard.compare import compare, telling
from dashboard.views.comparison import compared
from tests.dashboard.shop_rows import HOSTILE, SLOW_TRACE, WHALE_TRACE, order_trace


def trace(*spans: tuple[int, str, int, str]) -> dict[str, Any]:
    """Spans of one service as (depth, name, self time in ns, status)."""
    return {
        "trace_id": "0a" * 16,
        "duration_ns": sum(own for _, _, own, _ in spans),
        "spans": [
            {
                "span_id": f"{number:016x}",
                "service_name": "shop",
                "span_name": name,
                "span_kind": "INTERNAL",
                "depth": depth,
                "duration_ns": own,
                "self_time_ns": own,
                "status_code": status,
            }
            for number, (depth, name, own, status) in enumerate(spans)
        ],
    }


def test_calls_of_the_same_way_are_one_row() -> None:
    """Repeated calls are counted, what one side lacks is said, and rows keep the order of the tree."""
    left = trace((0, "pay", 5, "OK"), (1, "read", 2, "OK"), (1, "read", 3, "ERROR"), (1, "log", 1, "OK"))
    right = trace((0, "pay", 5, "OK"), (1, "read", 4, "OK"), (2, "open", 7, "OK"))
    rows = compare(left, right)
    told = [(row.key[1], row.depth, row.left.count, row.right.count, row.only) for row in rows]
    assert told == [
        ("pay", 0, 1, 1, ""),
        ("read", 1, 2, 1, ""),
        ("open", 2, 0, 1, "right"),
        ("log", 1, 1, 0, "left"),
    ]
    assert [row.self_difference_ns for row in rows] == [0, 1, -7, 1]
    assert [row.key[1] for row in telling(rows, 2)] == ["read", "open"]  # the error first, then the longest


def test_a_deep_trace_and_a_wide_one_are_compared() -> None:
    """Depth and width are bounded by nothing but the trace."""
    deep = trace(*((depth, "call", 1, "OK") for depth in range(5_000)))
    wide = trace((0, "call", 1, "OK"), *((1, f"call {number}", 1, "OK") for number in range(5_000)))
    rows = compare(deep, wide)
    assert len(rows) == 10_000
    assert len(telling(rows, 60)) == 60


def test_the_slow_statement_stands_out() -> None:
    """Of a slow order beside a usual one the guilty statement has the difference; names are text."""
    slow, usual = order_trace(SLOW_TRACE), order_trace(WHALE_TRACE, slow=False)
    slow["spans"][3]["span_name"] = HOSTILE
    drawn = compared(slow, usual, 41)
    assert "the middle one of 41 usual traces" in drawn
    assert "+151 ms" in drawn
    assert "<img" not in drawn
    assert "They do not differ" in compared(usual, usual, None)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (json.dumps([{"role": "user", "content": "Hi"}]), [["user", "Hi"]]),
        (
            json.dumps([{"role": "tool", "parts": [{"type": "text", "content": "a"}, "b"]}]),
            [["tool", "a\nb"]],
        ),
        (json.dumps({"role": "assistant", "content": [{"text": "x"}]}), [["assistant", "x"]]),
        (
            json.dumps([{"role": "a", "parts": [{"type": "tool_call", "id": 7}]}]),
            [["a", '{"type": "tool_call", "id": 7}']],
        ),
        ("[1, 2]", [["", "[1, 2]"]]),
        ("[" * 50_000, [["", "[" * 7_999 + "…"]]),
        ("two\nlines", [["", "two\nlines"]]),
        ("", []),
    ],
)
def test_messages_of_every_convention_are_read(text: str, messages: list[list[str]]) -> None:
    """Lists of messages, one message, plain text, and what is none of them."""
    assert genai.messages(text) == messages


def test_a_call_says_model_tokens_and_cost() -> None:
    """Unknown values are left out."""
    call = {"span_id": "ab", "model": "m-1", "input_tokens": 1200, "cost": 0.00123, "prompt": "Hi"}
    said = genai.shown([call])["ab"]
    assert said["facts"] == [["Model", "m-1"], ["Tokens in", "1,200"], ["Cost", "$0.00123"]]
    assert (said["prompt"], said["completion"]) == ([["", "Hi"]], [])
