"""Statements live in `.sql` files beside the code that runs them."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load_sql(package: str, name: str) -> str:
    """The text of `name.sql` in `package`, e.g. `load_sql("detectors.stream.queries", "new_spans")`.

    Raises:
        FileNotFoundError: no such file; a programming error.
    """
    return resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
