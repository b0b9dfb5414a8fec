"""A query in which no condition holds anything back, for its rehearsal.

Made-up rows have no `service_name = 'checkout'`: behind such a condition a call that takes gigabytes, or
never ends, would not be tried out at all.
"""

from __future__ import annotations

import re
from typing import Any

# Calls whose result can be far larger than what they are given, or whose time grows faster than that. A query
# without them is not rehearsed a second time, which would cost 20 ms.
_GROWING = re.compile(
    r"repeat|[lr]pad|printf|format|range|generate_series|(list|array)_resize|bitstring|bar|equi_width_bins|to_base"
    r"|levenshtein|damerau_levenshtein|editdist3|jaro\w*|jaccard|hamming|mismatches|replace|regexp_replace|translate"
    r"|json\w*|from_json\w*|parse_\w+|list_zip|array_zip"
)
_DOUBLINGS_MAX = 8  # x || x of x || x of …: each makes it twice as long
_DOUBLING = frozenset({"||", "concat", "list_concat", "list_cat", "array_concat", "array_cat"})
_TRUE = {"class": "CONSTANT", "type": "VALUE_CONSTANT", "literal": {"kind": "BOOLEAN", "text": "true"}}
_FALSE = {"class": "CONSTANT", "type": "VALUE_CONSTANT", "literal": {"kind": "BOOLEAN", "text": "false"}}
_HALF = {  # random() < 0.5: both branches of a CASE are taken
    "class": "COMPARISON",
    "type": "COMPARE_LESSTHAN",
    "left": {
        "class": "FUNCTION",
        "type": "FUNCTION",
        "function_name": "random",
        "qualified_name": {"path": ["random"]},
        "order_bys": {"type": "ORDER_MODIFIER"},
    },
    "right": {
        "class": "CONSTANT",
        "type": "VALUE_CONSTANT",
        "literal": {"kind": "NUMERIC", "text": "0.5"},
    },
}


def unconditional(tree: Any) -> Any:
    """
    Args:
        tree: what `json_serialize_sql` gave.

    Returns:
        None where nothing that it calls can grow, or where it has no condition; else the same query in which
        WHERE, HAVING, QUALIFY and FILTER let everything through and CASE takes every branch. Conditions stay
        in it beside a constant, for the sake of their parameters. A recursion keeps the conditions that end
        it, a subquery of one value those that choose it, and a join by WHERE that which makes it a join.
    """
    walk = _Walk()
    changed = walk.over(tree)
    return changed if walk.has_conditions and (walk.can_grow or walk.doublings > _DOUBLINGS_MAX) else None


class _Walk:
    def __init__(self) -> None:
        self.has_conditions = self.can_grow = False
        self.doublings = 0

    def over(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.over(item) for item in node]
        if not isinstance(node, dict):
            return node
        self._look_for_growth(node)
        if node.get("type") == "RECURSIVE_CTE_NODE" or node.get("class") == "SUBQUERY":
            return node
        made = {name: self.over(value) for name, value in node.items()}
        if node.get("type") == "SELECT_NODE":
            names = ["having", "qualify"]
            if (node.get("from_table") or {}).get("ref_type") != "CROSS":
                names.append("where_clause")
            self._open(made, names)
        elif node.get("class") in ("FUNCTION", "WINDOW"):
            self._open(made, ["filter", "filter_expr"])
            if made.get("function_name") == "if" and made.get("arguments"):
                first = made["arguments"][0]
                made["arguments"][0] = {**first, "expression": self._either(first["expression"])}
        elif node.get("class") == "CASE":
            made["case_checks"] = [
                {**check, "when_expr": self._either(check["when_expr"])} for check in made["case_checks"]
            ]
        return made

    def _look_for_growth(self, node: dict[str, Any]) -> None:
        name = str(node.get("function_name", "")).lower()
        self.doublings += name in _DOUBLING
        self.can_grow |= node.get("class") == "LAMBDA" or _GROWING.fullmatch(name) is not None

    def _open(self, node: dict[str, Any], names: list[str]) -> None:
        for name in names:
            if node.get(name):
                self.has_conditions = True
                node[name] = _joined("OR", node[name], _TRUE)

    def _either(self, condition: Any) -> Any:
        self.has_conditions = True
        return _joined("OR", _joined("AND", condition, _FALSE), _HALF)


def _joined(word: str, left: Any, right: Any) -> dict[str, Any]:
    return {"class": "CONJUNCTION", "type": f"CONJUNCTION_{word}", "children": [left, right]}
