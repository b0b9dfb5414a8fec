"""The names that a query may call, by kind: the lists of `functions.txt`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple


class Functions(NamedTuple):
    """Lower-case names."""

    values: frozenset[str]  # operators, scalar functions, aggregates, macros and window functions
    macros: frozenset[str]  # those of `values` whose body stands in the query once it is bound
    tables: frozenset[str]  # what may stand behind FROM


@cache
def allowed_functions() -> Functions:
    """Read once; the file is part of the package."""
    groups = _groups(resources.files("collector.sql").joinpath("functions.txt").read_text(encoding="utf-8"))
    tables = groups.pop("table functions")
    return Functions(frozenset().union(*groups.values()), groups["macros"], tables)


def _groups(text: str) -> dict[str, frozenset[str]]:
    """`## heading` lines, names between them, `# ` remarks before the first heading."""
    parts = text.split("\n## ")[1:]
    return {
        heading: frozenset(names.lower().split())
        for heading, _, names in (part.partition("\n") for part in parts)
    }
