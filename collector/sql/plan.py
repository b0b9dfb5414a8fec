"""Checks what a bound query does with VARIANT values and times: the plan has types, the parsed tree none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from collector.errors import RefusedQuery
from collector.sql import zones

_ORDERED = re.compile(r"COMPARE_(GREATER|LESS)THAN(OREQUALTO)?")
_DEEPENING = ("json", "recursive", "reduce")  # a query without these words makes no deep VARIANT


def check_plan(plan: Mapping[str, Any], text: str) -> None:
    """
    Args:
        plan: what `json_serialize_plan` gave for `text`.

    Raises:
        RefusedQuery: it makes a VARIANT of JSON or of another VARIANT, or asks which VARIANT is larger.
        InvalidInput: it makes a time without a zone of a text that names one.
    """
    if plan.get("error"):  # where a parameter has no type yet, DuckDB has no plan: then the words decide
        words = text.lower()
        if "variant" in words and any(word in words for word in _DEEPENING):
            raise _deep("a value that is not known before it is run")
        return
    _walk(plan)


def _walk(node: Any) -> None:
    if isinstance(node, list):
        for value in node:
            _walk(value)
    elif isinstance(node, dict):
        kind = str(node.get("type"))
        children = [child for child in node.get("children") or [] if isinstance(child, dict)]
        zones.check_shift(node, children)
        if kind == "OPERATOR_CAST" or node.get("expression_class") == "BOUND_CAST":
            zones.check_cast(node.get("return_type") or {}, children)
            _check_cast(node.get("return_type") or {}, [child.get("return_type") or {} for child in children])
        if _ORDERED.fullmatch(kind) and any(_function(child) == "variant_comparator" for child in children):
            raise RefusedQuery(
                "whether a VARIANT is larger depends on its type before its value: 6.0 > 100 would be true",
                hint="say what it is, e.g. attributes['amount']::DOUBLE > 100",
            )
        for value in node.values():
            _walk(value)


def _check_cast(target: Mapping[str, Any], sources: list[Any]) -> None:
    """DuckDB 2.0.0 casts by recursion: JSON of 2,000 levels takes minutes and 10,000 end the process, and so
    do 20,000 levels of VARIANT in a VARIANT once they are shown."""
    if '"id": "VARIANT"' not in json.dumps(target):
        return
    for source in sources:
        if '"alias": "JSON"' in json.dumps(source):
            raise _deep("JSON")
        is_nested = source.get("id") != "VARIANT" and '"id": "VARIANT"' in json.dumps(source)
        if is_nested and source != target:
            raise _deep("another VARIANT")


def _deep(source: str) -> RefusedQuery:
    return RefusedQuery(
        f"making a VARIANT of {source} is refused: deep values would end the server",
        hint="read JSON with json_extract or ->>; attributes are VARIANT already",
    )


def _function(node: Mapping[str, Any]) -> str:
    path = (node.get("qualified_name") or node.get("qname") or {}).get("path") or [node.get("name", "")]
    return str(path[-1])
