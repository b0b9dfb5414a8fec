"""A text box for a query, with completion and errors at their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st

from dashboard.components.assets import bundle


class Word(NamedTuple):
    """A completion, and the text beside it in the list."""

    text: str
    note: str = ""


class Written(NamedTuple):
    """`sent` is a query that was just sent, else None; `asked` the field whose values were asked for last."""

    sent: str | None
    asked: str | None


def editor(
    value: str,
    words: Sequence[Word],
    values: Mapping[str, Sequence[Word]],
    *,
    label: str,
    placeholder: str,
    key: str,
    rows: int = 1,
    has_values: bool = False,
    error: tuple[str, int, int] | None = None,
) -> Written:
    """Draws the box. With one row Enter sends, with more Ctrl+Enter; Tab takes a completion.

    Args:
        values: words by field, offered after a comparison with it.
        error: what is wrong, its line and its column, from 1; 0 where it has no place.
    """
    mount = st.components.v2.component(
        "spyhop_editor",
        html=bundle("editor/editor.html"),
        css=bundle("editor/editor.css"),
        js=bundle("dom.js", "editor/editor.js"),
    )
    result = mount(
        data={
            "value": value,
            "words": [word._asdict() for word in words],
            "values": {field: [word._asdict() for word in told] for field, told in values.items()},
            "label": label,
            "placeholder": placeholder,
            "rows": rows,
            "has_values": has_values,
            "error": error[0] if error else "",
            "line": error[1] if error else 0,
            "column": error[2] if error else 0,
        },
        key=key,
        on_sent_change=_nothing,
        on_asked_change=_nothing,
    )
    sent, asked = result.sent, result.asked
    return Written(
        sent if isinstance(sent, str) else None, asked if isinstance(asked, str) and asked else None
    )


def _nothing() -> None: ...
