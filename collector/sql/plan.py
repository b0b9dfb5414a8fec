"""Checks what a bound query does with VARIANT values and times: the plan has types, the parsed tree none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from collector.errors import RefusedQuery
from collector.sql import zones

_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER")
# DuckDB 2.0.0 orders values for these by neither type nor value: of -1, 2, 5, 300, 70000 the median is 300.
_QUANTILES = frozenset({"median", "quantile", "quantile_cont", "quantile_disc", "mad"})
_EXTREMES = frozenset({"arg_max", "arg_min", "max", "min", "arg_max_nulls_last", "arg_min_nulls_last"})
_NAME = re.compile(rb'[\w."]+')
_ORDERED = re.compile(r"COMPARE_(GREATER|LESS)THAN(OREQUALTO)?")
_SAY_WHAT = "say what it is, e.g. attributes['amount']::DOUBLE{}"
_DEEPENING = ("json", "recursive", "reduce")  # a query without these words makes no deep VARIANT


def check_plan(plan: Mapping[str, Any], text: str, *, summarizes: bool = False) -> None:
    """
    Args:
        plan: what `json_serialize_plan` gave for `text`.
        summarizes: the query is a SUMMARIZE, which itself asks for the least and largest of every column.

    Raises:
        RefusedQuery: it makes a VARIANT of JSON or of another VARIANT, asks which VARIANT is larger, or
            rounds one without having said so.
        InvalidInput: it makes a time without a zone of a text that names one.
    """
    if plan.get("error"):  # where a parameter has no type yet, DuckDB has no plan: then the words decide
        words = text.lower()
        if "variant" in words and any(word in words for word in _DEEPENING):
            raise _deep("a value that is not known before it is run")
        return
    _walk(plan, text.encode(), summarizes)


def _walk(node: Any, text: bytes, summarizes: bool) -> None:
    if isinstance(node, list):
        for value in node:
            _walk(value, text, summarizes)
    elif isinstance(node, dict):
        kind = str(node.get("type"))
        children = [child for child in node.get("children") or [] if isinstance(child, dict)]
        zones.check_shift(node, children)
        if kind == "OPERATOR_CAST" or node.get("expression_class") == "BOUND_CAST":
            zones.check_cast(node.get("return_type") or {}, children)
            _check_cast(node.get("return_type") or {}, [child.get("return_type") or {} for child in children])
            _check_rounding(node, children, text)
        if not summarizes:
            _check_order(node, children)
        if _ORDERED.fullmatch(kind) and any(_function(child) == "variant_comparator" for child in children):
            raise RefusedQuery(
                "whether a VARIANT is larger depends on its type before its value: 6.0 > 100 would be true",
                hint="say what it is, e.g. attributes['amount']::DOUBLE > 100",
            )
        for value in node.values():
            _walk(value, text, summarizes)


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


def _check_rounding(node: Mapping[str, Any], children: Sequence[Mapping[str, Any]], text: bytes) -> None:
    """`sum(attributes['amount'])`: DuckDB makes whole numbers of a VARIANT where a function asks for numbers.

    Args:
        node: a cast of a plan.
        children: what it casts.
        text: the query, into which the plan's places point.
    """
    if not _INTEGERS.fullmatch(str((node.get("return_type") or {}).get("id"))):
        return
    for child in children:
        if (child.get("return_type") or {}).get("id") == "VARIANT" and _is_unwritten(node, child, text):
            raise RefusedQuery(
                "a VARIANT would become a whole number here, so that 0.4 counts as 0",
                hint=_SAY_WHAT.format(""),
            )


def _is_unwritten(cast: Mapping[str, Any], operand: Mapping[str, Any], text: bytes) -> bool:
    """Whether DuckDB added the cast: it then stands in the text where its operand does."""
    place, length = cast.get("query_location"), cast.get("query_location_length", 0)
    if place is None or place == operand.get("query_location"):
        return True
    name = _NAME.fullmatch(text[place : place + length])  # a column of a subquery has no place, only a name
    return (
        name is not None
        and name[0].decode().split(".")[-1].strip('"').lower() == str(operand.get("alias")).lower()
    )


def _check_order(node: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> None:
    name = _function(node)
    types = [(child.get("return_type") or {}).get("id") for child in children]
    # min and max are arg_min and arg_max of it in a plan; count(DISTINCT …) only asks what is equal.
    compares = name in _EXTREMES and any(_function(child) == "variant_comparator" for child in children)
    if compares or (name in ("greatest", "least") and "VARIANT" in types):
        raise RefusedQuery(
            "which VARIANT is the largest depends on its type before its value: 6.0 is larger than 100",
            hint=_SAY_WHAT.format(", or ::VARCHAR for text"),
        )
    if name in _QUANTILES and types[:1] == ["VARIANT"]:
        raise RefusedQuery(
            f"{name} of a VARIANT is wrong in DuckDB 2.0, which does not order its values",
            hint=_SAY_WHAT.format(""),
        )


def _deep(source: str) -> RefusedQuery:
    return RefusedQuery(
        f"making a VARIANT of {source} is refused: deep values would end the server",
        hint="read JSON with json_extract or ->>; attributes are VARIANT already",
    )


def _function(node: Mapping[str, Any]) -> str:
    path = (node.get("qualified_name") or node.get("qname") or {}).get("path") or [node.get("name", "")]
    return str(path[-1])
