"""Reads a component's JavaScript and CSS: several small files become one module.

Components v2 loads one inline module for each component, so the files have no imports of their own: they are
joined in the given order, and the last one exports the render function.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def bundle(*names: str) -> str:
    """The text of the named files, e.g. `bundle("format.js", "queue/queue.js")`, joined by line breaks."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)
