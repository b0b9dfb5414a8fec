from __future__ import annotations

from dashboard import markup
from dashboard.markup import link, page, table, tag

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


def test_no_text_becomes_markup() -> None:
    """A hostile name is text in an element, in an attribute, in a link and in a table."""
    written = page(
        tag("div", HOSTILE, title=HOSTILE),
        link(HOSTILE, "anomalies", service=HOSTILE),
        table([("a", "l")], [(HOSTILE,)]),
        markup.facts([("name", HOSTILE, HOSTILE)]),
    )
    body = written.removeprefix(markup.STYLE)
    assert "<img" not in body
    assert "<script" not in body
    assert body.count("&lt;img") == 6


def test_what_was_built_is_not_escaped_twice() -> None:
    """An element inside an element stays an element."""
    assert tag("div", tag("b", "a & b")) == "<div><b>a &amp; b</b></div>"
