"""What to write instead, for people who know another database or other names: the rows of `dialects.txt`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

_MISSING_COLUMN = re.compile(
    r'Referenced column "(?P<name>[^"]+)" was not found|column "(?P<other>[^"]+)" not found'
)
_CATALOGS = re.compile(r"(pg_|sqlite_|duckdb_)|(system|sys|information_schema)\b", re.IGNORECASE)


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    instead: str


def function_hint(name: str) -> str:
    """What to call instead of a function of another database; empty where nothing is known."""
    return next((rule.instead for rule in _rules()["functions"] if rule.pattern.fullmatch(name)), "")


def syntax_hint(text: str) -> str:
    """What to write instead of another database's syntax in `text`, which does not parse."""
    return next((rule.instead for rule in _rules()["syntax"] if rule.pattern.search(text)), "")


def error_hint(message: str, text: str = "") -> str:
    """What to write instead, by DuckDB's message about the statement `text`; empty where nothing is known."""
    if missing := _MISSING_COLUMN.search(message):
        return _column_hint(missing["name"] or missing["other"], text)
    return next((rule.instead for rule in _rules()["messages"] if rule.pattern.search(message)), "")


def table_hint(name: str) -> str:
    """Where to look instead of in another database's catalogue; empty where `name` is of none."""
    return "information_schema.tables or SHOW TABLES lists what there is" if _CATALOGS.match(name) else ""


def _column_hint(name: str, text: str) -> str:
    for rule in _rules()["columns"]:
        if rule.pattern.fullmatch(name):
            return f"perhaps it is {rule.instead}"
    as_text = rf'(=|<>|\(|,|LIKE)\s*"{re.escape(name)}"'
    return f"a text stands in single quotes: '{name}'" if re.search(as_text, text, re.IGNORECASE) else ""


@cache
def _rules() -> dict[str, list[_Rule]]:
    """By section; read once, the file is part of the package."""
    text = resources.files("collector.sql").joinpath("dialects.txt").read_text(encoding="utf-8")
    sections = (part.partition("\n") for part in text.split("\n## ")[1:])
    return {heading: [_rule(line) for line in lines.splitlines() if line] for heading, _, lines in sections}


def _rule(line: str) -> _Rule:
    pattern, _, instead = line.partition(" => ")
    return _Rule(re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
