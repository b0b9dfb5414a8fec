"""Conditions as SQL that is true or false for each span, never NULL, as TraceQL means them:

- a comparison holds only for a value of the type it is compared with; numbers are one type;
- a field that a span does not have makes every comparison false, `!=` too, but `= nil`;
- `=~` is about the whole text;
- of events and links one that fits is enough.
"""

from __future__ import annotations

import re

from collector.search.fields import COLUMNS, DERIVED, LISTED
from collector.search.syntax import AS_TEXT, Attribute, Binary, Expression, Intrinsic, Literal, Type, Unary
from collector.search.types import type_of
from collector.search.values import (
    FORMS,
    WHOLE_NUMBER,
    NeedsTrace,
    ReadColumns,
    Source,
    attribute_value,
    variant,
)

EXACT_MAX = 2**53  # beyond it neighbouring whole numbers are one DOUBLE
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_FORMS_OF_ANY = (Type.TEXT, Type.NUMBER, Type.BOOL)


def condition_sql(expression: Expression, source: Source) -> str:
    """
    Raises:
        NeedsTrace: `source` has rows only, and the condition asks for more.
    """
    match expression:
        case Literal():
            return "true" if expression.value else "false"
        case Attribute():
            return f"coalesce({value_sql(expression, Type.BOOL, source)}, false)"
        case Unary(op="!", operand=Attribute() as attribute):
            return f"coalesce(NOT ({value_sql(attribute, Type.BOOL, source)}), false)"
        case Unary(op="!"):
            return f"(NOT {condition_sql(expression.operand, source)})"
        case Binary(op="&&" | "||"):
            word = "AND" if expression.op == "&&" else "OR"
            left, right = (condition_sql(side, source) for side in (expression.left, expression.right))
            return f"({left} {word} {right})"
        case Binary():
            return _comparison(expression, source)
        case _:
            raise AssertionError(f"{expression} was checked to be a condition")


def value_sql(expression: Expression, kind: Type, source: Source) -> str:
    """SQL of the value if it has the type `kind`, else NULL."""
    match expression:
        case Literal():
            assert expression.value is not None
            return source.params.add(expression.value)
        case Attribute():
            return attribute_value(expression, kind, source)
        case Intrinsic():
            return intrinsic_sql(expression, source)
        case Unary(op="-"):
            return f"(-({value_sql(expression.operand, kind, source)})::DOUBLE)"
        case Binary() if kind is Type.NUMBER:
            left, right = (
                f"({value_sql(side, kind, source)})::DOUBLE" for side in (expression.left, expression.right)
            )
            return f"pow({left}, {right})" if expression.op == "^" else f"({left} {expression.op} {right})"
        case _:
            return condition_sql(expression, source)


def intrinsic_sql(intrinsic: Intrinsic, source: Source) -> str:
    if intrinsic.name in DERIVED:
        if not isinstance(source, ReadColumns):
            raise NeedsTrace
        source.derived.add(intrinsic.name)
        return DERIVED[intrinsic.name].sql
    return source.value(COLUMNS[intrinsic.name].sql)


def _comparison(binary: Binary, source: Source) -> str:
    left, right, op = binary.left, binary.right, binary.op
    if op == AS_TEXT:
        assert isinstance(left, Attribute)
        text = source.value(f"({variant(left, source.params)})::VARCHAR")
        return f"coalesce({text} = {value_sql(right, Type.TEXT, source)}, false)"
    if isinstance(left, Literal) and not isinstance(right, Literal):
        left, right, op = right, left, _FLIPPED.get(op, op)
    if isinstance(right, Literal) and right.type is Type.NIL:
        return _nil_check(left, op, source)
    if _is_listed(left):
        return _any_of_list(left, op, right, source)
    types = {type_of(left, ""), type_of(right, "")}
    if types == {Type.ANY}:
        either = [_compared(left, op, right, kind, source) for kind in _FORMS_OF_ANY if _takes(op, kind)]
        return f"coalesce({', '.join(either)}, false)"
    kind = next(iter(types - {Type.ANY}))
    return f"coalesce({_compared(left, op, right, kind, source)}, false)"


def _takes(op: str, kind: Type) -> bool:
    return kind is not Type.BOOL or op in ("=", "!=")


def _compared(left: Expression, op: str, right: Expression, kind: Type, source: Source) -> str:
    """`left op right` as values of one type; NULL where one is not of it."""
    if kind is Type.SEVERITY:  # SEV1 is more than SEV2
        op = _FLIPPED.get(op, op)
    if op in ("=~", "!~"):
        return regex_sql(value_sql(left, kind, source), op, right, source)
    plain = f"({value_sql(left, kind, source)} {op} {value_sql(right, kind, source)})"
    if isinstance(left, Attribute) and isinstance(right, Literal) and is_beyond_double(right):
        whole = source.value(WHOLE_NUMBER.format(v=variant(left, source.params)), of_parent=left.of_parent)
        return f"coalesce({whole} {op} {source.params.add(right.value)}, {plain})"  # type: ignore[arg-type]
    return plain


def is_beyond_double(literal: Literal) -> bool:
    value = literal.value
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_MAX


# Words with anything before and behind them, a line break only after `(?s)`: looked for as they are. As a
# regular expression that takes six times as long: 650 ms of CPU for 100,000 prompts of 2 kB.
_WORDS = re.compile(r"(?P<any>\(\?s\))?\.\*(?P<literal>(?:[^\\.+*?()|\[\]{}^$]|\\[^\w\s])+)\.\*")
_ESCAPED = re.compile(r"\\(.)")


def regex_sql(text: str, op: str, pattern: Expression, source: Source) -> str:
    assert isinstance(pattern, Literal)
    assert isinstance(pattern.value, str)
    words = _WORDS.fullmatch(pattern.value)
    literal = _ESCAPED.sub(r"\1", words["literal"]) if words else ""
    if words and words["any"]:
        matches = f"contains({text}, {source.params.add(literal)})"
    elif words and "\n" not in literal:
        matches = f"(contains({text}, {source.params.add(literal)}) AND NOT contains({text}, chr(10)))"
    else:
        matches = f"regexp_full_match({text}, {source.params.add(pattern.value)})"
    return matches if op == "=~" else f"(NOT {matches})"


def _nil_check(field: Expression, op: str, source: Source) -> str:
    match field:
        case Attribute(scope="event" | "link"):
            column = source.value(_list_of(field, Type.NIL, source))
            is_nil = f"(NOT list_contains({column}, false))"
        case Intrinsic() if field.name in LISTED:
            is_nil = f"(len({source.value(LISTED[field.name].sql)}) = 0)"
        case Attribute():
            is_nil = f"({attribute_value(field, Type.NIL, source)})"
            if field.of_parent:
                is_nil = f"coalesce({is_nil}, true)"
        case Intrinsic():
            is_nil = f"({intrinsic_sql(field, source)} IS NULL)"
        case _:
            raise AssertionError(f"{field} was checked to be a field")
    return is_nil if op == "=" else f"(NOT {is_nil})"


def _is_listed(expression: Expression) -> bool:
    match expression:
        case Attribute():
            return expression.scope in ("event", "link")
        case Intrinsic():
            return expression.name in LISTED
        case _:
            return False


def _any_of_list(field: Expression, op: str, value: Expression, source: Source) -> str:
    if not isinstance(value, Literal):
        raise AssertionError("it was checked that a value follows")
    if isinstance(field, Intrinsic):
        items = LISTED[field.name].sql
    else:
        assert isinstance(field, Attribute)
        items = _list_of(field, value.type, source)
    assert value.value is not None
    held = source.params.add(value.value)
    holds = regex_sql("e", op, value, source) if op in ("=~", "!~") else f"e {op} {held}"
    return f"coalesce({source.value(f'len(list_filter({items}, lambda e: {holds})) > 0')}, false)"


def _list_of(field: Attribute, kind: Type, source: Source) -> str:
    column = "events" if field.scope == "event" else "links"
    key = source.params.add(field.name)
    form = FORMS[kind].format(v=f"e.attributes[{key}]")
    return f"list_transform({column}, lambda e: {form})"
