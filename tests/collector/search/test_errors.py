"""Searches that cannot be run: what is said, and where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import InvalidInput
from collector.search.parser import parse

Ask = Callable[..., Any]


@pytest.mark.parametrize(
    ("query", "line", "column", "words"),
    [
        ("", 1, 1, "the search is empty"),
        ("{ name = }", 1, 10, "'}' stands where a field or a value is expected"),
        ("{\n  status > ok }", 2, 10, "a status is neither larger nor smaller"),
        ("{ attribute = 4 }", 1, 3, ".attribute or span.attribute"),
        ("{ .attribute == 4 }", 1, 15, "equality is one ="),
        ("{ span. }", 1, 8, "the name of an attribute follows"),
        ("{ (.a < 3 }", 1, 11, ") is expected"),
        ("{ .a < 3", 1, 9, "} is expected before the end"),
        ('{ .a = "x }', 1, 8, "has no closing"),
        ("{ .a = 3kg }", 1, 8, "'3k'… is not a number"),
        ("{ .a = 99999999999999999999 }", 1, 8, "larger than any"),
        ("{ duration > 99999999999999999999h }", 1, 14, "longer than any span"),
        ("{ duration > " + "9" * 5_000 + "h }", 1, 14, "longer than any span"),
        ("{ .a = " + "9" * 5_000 + " }", 1, 8, "larger than any"),
        ("{ .a = " + "9" * 5_000 + ".5 }", 1, 8, "larger than any"),
        ('{ .a = "\\q" }', 1, 9, "\\q is no escape"),
        ('{ 1 = "foo" }', 1, 5, "a number is never compared with a text"),
        ("{ status }", 1, 3, "true or false, this is a status"),
        ("{ status = server }", 1, 10, "a status is never compared with a kind"),
        ("{ .a = error }", 1, 6, "the field is status"),
        ("{ anomaly > 3 }", 1, 11, "a severity is never compared with a number"),
        ("{ name =~ 3 }", 1, 8, "a regular expression in quotes"),
        ("{ !name }", 1, 3, "! takes a true or false"),
        ("{} | count()", 1, 13, "a comparison with a number follows"),
        ("{} | max(name) > 2", 1, 10, "a number is expected"),
        ("{} | sum(3) > 2", 1, 10, "the same for every span"),
        ("{} | foo() = 1", 1, 6, "'foo' is no stage"),
        ("{} + {}", 1, 4, "'+' does not belong here"),
        ("{} {}", 1, 4, "'{' does not belong here"),
        ("{} | by(event:name)", 1, 9, "a span has several of these"),
        ("{} | quantile_over_time(duration, 7)", 1, 35, "no quantile"),
        ("(" * 50, 1, 34, "more than 32 levels"),
        ("{ " + "!" * 50 + "true }", 1, 35, "more than 32 levels"),
        ("{ " + " && ".join(["true"] * 70) + " }", 1, 523, "at most 64 operators"),
        (" && ".join(["{}"] * 20), 1, 98, "at most 16 filters"),
        ("§", 1, 1, "'§' does not belong here"),
        ("{ nestedSetLeft > 1 }", 1, 3, "'nestedSetLeft' of TraceQL is not taken here"),
        ("{ event:timeSinceStart > 2ms }", 1, 3, "'event:timeSinceStart' of TraceQL is not taken here"),
        ("{} | compare({status=error})", 1, 6, "'compare' of TraceQL is not taken here"),
        ("{} | rate() | topk(10)", 1, 13, "nothing follows rate(…) but by (…)"),
        ("{} | rate() > 10", 1, 13, "nothing follows rate(…) but by (…)"),
        ("{ kind = SERVER }", 1, 10, "write server"),
        ("{ STATUS = error }", 1, 3, "write status"),
        ("{ event:foo = 1 }", 1, 3, "with a colon there are event:name"),
        ("{ .a = 1 and .b = 2 }", 1, 10, "write &&"),
        ("{ NOT .a = 1 }", 1, 3, "write !"),
        ('{ .a in ("x", "y") }', 1, 6, "write e.g. =~"),
        ("{} union {}", 1, 4, "write ||"),
        ("// nothing else", 1, 16, "the search is empty"),
    ],
)
def test_place(query: str, line: int, column: int, words: str) -> None:
    """An error names the line and column, and what is wrong there."""
    with pytest.raises(InvalidInput) as caught:
        parse(query)
    assert caught.value.details == {"line": line, "column": column}, str(caught.value)
    assert words in str(caught.value)


def test_too_long() -> None:
    """A search of more than 8,192 characters is refused."""
    with pytest.raises(InvalidInput, match="8,192 are allowed"):
        parse("{ " + " " * 8192 + "}")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"q": '{ name =~ "[" }'}, "line 1, column 11: no regular expression"),
        ({"q": "{} | rate()"}, "line 1, column 6: this asks for figures over time"),
        ({"q": "{} | by(name) | {} >> {}"}, "structure comes first"),
        ({"start": "yesterday"}, "start 'yesterday' is not a time"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "the range of time is empty"),
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"colour": "red"}, "colour"),
        ({"limit": "1000", "spans": "1000"}, "limit × spans is 1,000,000, 50,000 are allowed"),
    ],
)
def test_answer(shop: Any, params: dict[str, str], words: str) -> None:
    """The API refuses what it cannot run, and says why."""
    answer = shop.api.get("/api/traces/search", params=params)
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]["message"]


_WORDS = st.sampled_from(
    [
        *"{}()>!-=|",
        *("&&", "||", ">>", "!=", "=~", ".a", "span.b", "name", "status", "duration", "error", "nil"),
        *("1", "2.5", "3ms", '"x"', "count()", "by(", "select(", "avg(", "anomaly", "SEV2"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(_WORDS, max_size=25).map(" ".join), st.text(max_size=40)))
def test_any_text(text: str) -> None:
    """Any text is either parsed or refused as wrong input."""
    with suppress(InvalidInput):
        parse(text)
