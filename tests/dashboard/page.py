"""A page of the dashboard as Streamlit runs it, and what a reader sees of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

# Called with a page's name, the address of its server and query parameters.
Opener = Callable[..., AppTest]


def shown(app: AppTest) -> str:
    """All text of the page, without tags."""
    bodies = [element.proto.body for element in app.get("html")]
    bodies += [
        element.value for kind in ("markdown", "caption", "subheader", "error") for element in app.get(kind)
    ]
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", " ".join(bodies), flags=re.DOTALL).split())
