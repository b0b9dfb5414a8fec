"""Checks the parsed form of a query, the tree that DuckDB's `json_serialize_sql` gives.

Everything that is not listed here is refused, so that a new kind of node in a later DuckDB stays out. DuckDB
2.0 types `WITH x AS (COPY … TO …) SELECT 1` as a SELECT, and a read-only transaction runs it: only the tree
shows that it writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from collector.errors import InvalidInput, RefusedQuery
from collector.sql.dialects import function_hint, table_hint
from collector.sql.functions import Functions, allowed_functions

_QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SOURCES = re.compile(
    "BASE_TABLE|SUBQUERY|JOIN|TABLE_FUNCTION|EXPRESSION_LIST|EMPTY|PIVOT|SHOW_REF"
)  # fmt: skip
_CLASSES = re.compile(
    "CONSTANT|COLUMN_REF|FUNCTION|OPERATOR|COMPARISON|CONJUNCTION|CAST|CASE|BETWEEN|STAR|SUBQUERY|LAMBDA|LAMBDA_REF"
    "|WINDOW|PARAMETER|COLLATE|POSITIONAL_REFERENCE|TYPE|DEFAULT"
)
_EXPRESSIONS = re.compile(
    r"CASE_EXPR|CAST|COLLATE|COLUMN_REF|COMPARE_\w+|CONJUNCTION_\w+|FUNCTION|LAMBDA|LAMBDA_REF|OPERATOR_\w+"
    r"|ARRAY_\w+|STRUCT_EXTRACT|STAR|SUBQUERY|TYPE|VALUE_CONSTANT|VALUE_PARAMETER|VALUE_DEFAULT|WINDOW_\w+"
    r"|POSITIONAL_REFERENCE|GROUPING_FUNCTION|ARROW|DEFAULT"
)
_MODIFIERS = re.compile(
    "ORDER_MODIFIER|LIMIT_MODIFIER|LIMIT_PERCENT_MODIFIER|DISTINCT_MODIFIER|ORDER_DEFAULT|ASCENDING|DESCENDING"
)
_TYPES_REFUSED = frozenset(
    {"geometry", "aggregate_state", "table", "pointer"}
)  # they take raw bytes on trust
_INFORMATION_SCHEMA = frozenset({"tables", "columns", "schemata", "views", "table_constraints"})
_SCHEMAS = frozenset({"main", "temp", "system", "pg_catalog", "information_schema"})
_VARIANTS = frozenset(
    {"attributes", "resource_attributes", "scope_attributes"}
    | {"spanattributes", "resourceattributes", "logattributes", "scopeattributes"}  # otel_traces
)
CATALOG = "spyhop"  # the database's own name, from its file's
_SPECIAL_TABLES = frozenset({'"tables"', '"databases"', "__show_tables_expanded"})  # SHOW TABLES and the like
_CTE_NAME = re.compile(r"\w+")  # a name with a dot or a slash would be a file where the CTE is out of scope

# A query that binds to more than this takes seconds and gigabytes before it can be stopped: 20 nested
# list_transform took 11 s and 3.9 GB, 16 nested nullif 11 s. An IN list of 20,000 values costs 20,000.
COST_MAX = 60_000
_MACRO_FACTOR = 4  # a macro's body repeats an argument up to three times: nullif, array_pop_back, wavg
_LAMBDA_FACTOR = 3  # what takes a lambda is bound once for its type and once to run
_BETWEEN_FACTOR = 3
# They read a structure while they are bound, by recursion: 20,000 levels end the process. A text that is made
# then may be another in the server.
_BY_STRUCTURE = frozenset({"from_json", "from_json_strict", "json_transform", "json_transform_strict"})
NAME_PARTS_MAX = 32  # a.a.a… of 20,000 parts binds for minutes


class Facts(NamedTuple):
    """The result of examining a query."""

    reads_store: bool  # it names a table or view of ours; if not, it can be run anywhere
    cost: int  # nodes; a node that binding repeats counts each time
    summarizes: bool  # it holds a SUMMARIZE


def examine(tree: Mapping[str, Any], tables: Set[str]) -> Facts:
    """Walk the whole tree of one statement.

    Args:
        tree: what `json_serialize_sql` gave.
        tables: lower-case names of the tables and views that may be read.

    Raises:
        RefusedQuery: it holds something that is not known to be harmless; the message names it.
        InvalidInput: it names a table that does not exist.
    """
    if tree.get("error"):
        raise RefusedQuery(
            f"only queries are allowed ({tree.get('error_message', 'it is none')})",
            hint="send one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement",
        )
    walk = _Walk(tables, allowed_functions())
    walk.define_ctes(tree["statements"])
    cost = walk.cost_of(tree["statements"])
    if cost > COST_MAX:
        raise RefusedQuery(
            f"the query is too complex: about {cost:,} steps to plan it, {COST_MAX:,} are allowed",
            hint="nest fewer lambdas, macros and BETWEEN, or join a list of values instead of writing it out",
        )
    return Facts(walk.reads_store, cost, walk.summarizes)


class _Walk:
    def __init__(self, tables: Set[str], functions: Functions) -> None:
        self._tables, self._functions = tables, functions
        self._ctes: dict[str, Any] = {}
        self._inlined: dict[str, int] = {}  # cost of each CTE that stands in the plan as often as it is named
        self.reads_store = self.summarizes = False

    def define_ctes(self, node: Any) -> None:
        """Collect the names of all CTEs, wherever they stand."""
        if isinstance(node, dict):
            for entry in (node.get("cte_map") or {}).get("map") or []:
                name = str(entry["key"])
                if not _CTE_NAME.fullmatch(name):
                    raise RefusedQuery(
                        f"{name!r} is not a name for a WITH query", hint="use letters, digits and _"
                    )
                self._ctes[name.lower()] = entry["value"]
            if node.get("type") == "RECURSIVE_CTE_NODE":
                self._ctes.setdefault(str(node.get("cte_name", "")).lower(), None)
            for value in node.values():
                self.define_ctes(value)
        elif isinstance(node, list):
            for value in node:
                self.define_ctes(value)

    def cost_of(self, node: Any) -> int:
        if isinstance(node, list):
            return sum(map(self.cost_of, node))
        if not isinstance(node, dict):
            return 0
        own, factor = self._check(node)
        below = sum(self.cost_of(value) for value in node.values() if isinstance(value, (dict, list)))
        cost = own + factor * below
        if cost > COST_MAX**2:  # numbers that only grow need not be exact
            raise RefusedQuery("the query is too complex: its nesting multiplies the work of planning it")
        return cost

    def _check(self, node: dict[str, Any]) -> tuple[int, int]:
        """Refuse `node` or return its own cost and the factor of what stands below it."""
        kind, expression = node.get("type"), node.get("class")
        if expression is not None:
            if not _CLASSES.fullmatch(str(expression)) or not _EXPRESSIONS.fullmatch(str(kind)):
                raise _unknown(f"{expression} {kind}")
            return 1, self._check_expression(expression, node)
        if kind is None or not isinstance(kind, str) or _MODIFIERS.fullmatch(kind):
            return 0, 1
        if kind in _QUERIES:
            return 1, 1
        if _SOURCES.fullmatch(kind):
            return self._check_source(kind, node), 1
        if kind.endswith("_QUERY_NODE"):
            raise RefusedQuery(f"{kind.removesuffix('_QUERY_NODE')} is refused: this access is read-only")
        raise _unknown(kind)

    def _check_expression(self, expression: str, node: dict[str, Any]) -> int:
        if expression in ("FUNCTION", "WINDOW"):
            return self._check_function(node)
        if expression == "TYPE":
            self._check_type(node)
        if len(node.get("column_names") or ()) > NAME_PARTS_MAX:
            raise RefusedQuery(f"a name has more than {NAME_PARTS_MAX} parts")
        _check_keys(node.get("column_names") or ())
        return _BETWEEN_FACTOR if expression == "BETWEEN" else 1

    def _check_function(self, node: dict[str, Any]) -> int:
        path = _path(node)
        name = path[-1].lower()
        # `service_name.upper()` is a call too; a schema before it would pass by what is found first.
        is_plain = len(path) == 1 or (len(path) == 2 and path[0].lower() not in _SCHEMAS)
        if not is_plain or name not in self._functions.values:
            instead = function_hint(name)
            raise RefusedQuery(
                f"the function {'.'.join(path)} is not available here",
                hint=f"write {instead}" if instead else self._similar(name),
            )
        arguments = [argument.get("expression", argument) for argument in node.get("arguments") or []]
        if name in _BY_STRUCTURE and any(argument.get("class") != "CONSTANT" for argument in arguments[1:]):
            raise RefusedQuery(
                f"{name} takes its structure as a plain text only",
                hint=f"""write {name}(json, '{{"key": "VARCHAR"}}')""",
            )
        if name in self._functions.macros:
            return _MACRO_FACTOR
        has_lambda = any(isinstance(a, dict) and a.get("class") == "LAMBDA" for a in arguments)
        return _LAMBDA_FACTOR if has_lambda else 1

    def _check_type(self, node: dict[str, Any]) -> None:
        name = str(node.get("type_name", "")).lower()
        if name in _TYPES_REFUSED or len(_path(node)) > 2:
            raise RefusedQuery(f"the type {name} is not available here")

    def _check_source(self, kind: str, node: dict[str, Any]) -> int:
        """The cost of naming this table; remembers whether it is one of ours."""
        if kind == "BASE_TABLE":
            return self._check_table(_path(node))
        if kind == "TABLE_FUNCTION":
            function = node.get("function") or {}
            name = ".".join(_path(function)).lower()
            if name not in self._functions.tables:
                raise RefusedQuery(
                    f"the table function {name} is not available here",
                    hint="files and settings are out of reach; read spans, logs, metrics or another table",
                )
            # Checked by the rules of table functions; the walk below must not apply the rules of values to
            # it.
            node["function"] = function.get("arguments") or []
            self.reads_store |= name.startswith(("duckdb_", "pragma_"))
        if kind == "SHOW_REF":
            self.reads_store = True
            self.summarizes |= node.get("show_type") == "SUMMARY"
            special = node.get("table_name")
            is_known = (
                str(special).lower() in _SPECIAL_TABLES or str(special).strip('"').lower() in self._tables
            )
            if special and not is_known:
                raise RefusedQuery(
                    f"SHOW {special} is refused", hint="SHOW TABLES and DESCRIBE name are allowed"
                )
        return 1

    def _check_table(self, path: list[str]) -> int:
        names = [part.lower() for part in path]
        if names[:-1] in ([], ["main"], [CATALOG], [CATALOG, "main"]):
            if names[-1] in self._tables:
                self.reads_store = True
                return 1
            if len(names) == 1 and names[0] in self._ctes:
                return self._cte_cost(names[0])
        if len(names) == 2 and names[0] == "information_schema" and names[1] in _INFORMATION_SCHEMA:
            self.reads_store = True
            return 1
        full_name = ".".join(path)
        if not _CTE_NAME.fullmatch(full_name):
            raise RefusedQuery(
                f"{full_name!r} is not a table here, and files are out of reach",
                hint=table_hint(full_name) or "SHOW TABLES lists all",
            )
        raise InvalidInput(f"a table named {full_name} does not exist", hint=self._suggestion(names[-1]))

    def _cte_cost(self, name: str) -> int:
        """The cost that NOT MATERIALIZED repeats here; 1 for a CTE that is computed once."""
        value = self._ctes[name]
        if not isinstance(value, dict) or value.get("materialized") != "CTE_MATERIALIZE_NEVER":
            return 1
        if name not in self._inlined:
            self._inlined[name] = 1  # a recursive one names itself
            self._inlined[name] = self.cost_of(value)
        return self._inlined[name]

    def _similar(self, function: str) -> str:
        close = _closest(function, self._functions.values)
        left_out = "SECURITY.md says which functions are left out and why"
        return f"did you mean {close}? {left_out}" if close else left_out

    def _suggestion(self, name: str) -> str:
        close = _closest(name, [*self._tables, *self._ctes])
        if close:
            return f"did you mean {close}?"
        return table_hint(name) or "SHOW TABLES lists what there is; files are out of reach"


def _closest(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # only for the unlucky

    return next(iter(difflib.get_close_matches(word, known, n=1)), "")


def _check_keys(names: Sequence[str]) -> None:
    """`attributes.http.route`, which DuckDB reads as the key `route` of the key `http`: NULL in every row.

    Raises:
        InvalidInput: a name is such a path.
    """
    for number, name in enumerate(names[:2]):
        keys = names[number + 1 :]
        if name.lower() in _VARIANTS and len(keys) > 1:
            nested = "".join(f"['{key}']" for key in keys)
            raise InvalidInput(
                f"{'.'.join(names)} would be the key {keys[1]!r} within the key {keys[0]!r}",
                hint=f"write {name}['{'.'.join(keys)}'], or {name}{nested} for nested keys",
            )


def _path(node: Mapping[str, Any]) -> list[str]:
    """The parts of a qualified name, e.g. `["main", "spans"]`."""
    path = (node.get("qualified_name") or {}).get("path")
    if path:
        return [str(part) for part in path]
    name = node.get("table_name") or node.get("function_name") or node.get("type_name") or ""
    return [str(part) for part in (node.get("catalog"), node.get("schema"), name) if part is not None]


def _unknown(kind: str) -> RefusedQuery:
    return RefusedQuery(
        f"{kind} is not known to be harmless in a query", hint="write it in another way, or report it"
    )
