"""Checks the types of an expression as far as they are known before any span is read."""

from __future__ import annotations

from collector.search.fields import LISTED, TYPES
from collector.search.syntax import Attribute, Binary, Expression, Intrinsic, Literal, Type, Unary
from collector.search.tokens import fail

_ORDERED = frozenset({"<", "<=", ">", ">="})
_EQUAL = frozenset({"=", "!="})
_REGEX = frozenset({"=~", "!~"})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "^"})
_WITHOUT_ORDER = frozenset({Type.BOOL, Type.STATUS, Type.KIND, Type.NIL})


def check_condition(expression: Expression, text: str, position: int) -> None:
    """Raises InvalidInput, with the place, where it cannot be true or false."""
    found = type_of(expression, text)
    if found not in (Type.BOOL, Type.ANY):
        fail(
            text, position, f"a filter is true or false, this is a {found}", 'compare it, e.g. name = "GET /"'
        )


def check_number(expression: Expression, text: str, position: int) -> None:
    """Raises InvalidInput where it cannot be a number, or is the same for every span."""
    found = type_of(expression, text)
    if found not in (Type.NUMBER, Type.ANY):
        fail(
            text, position, f"a number is expected, this is a {found}", "e.g. duration, span.http.status_code"
        )
    if not _has_field(expression):
        fail(text, position, "this is the same for every span", "name a field, e.g. duration")


def check_field(field: Attribute | Intrinsic, text: str) -> None:
    """Raises InvalidInput for a field of which a span has several, or which is another span's."""
    is_listed = field.name in LISTED if isinstance(field, Intrinsic) else field.scope in ("event", "link")
    if is_listed:
        fail(text, field.position, "a span has several of these", "it can stand in a filter only")


def type_of(expression: Expression, text: str) -> Type:
    """What it gives.

    Raises:
        InvalidInput: its operators cannot take what stands beside them.
    """
    match expression:
        case Literal():
            return expression.type
        case Attribute():
            return Type.ANY
        case Intrinsic():
            return TYPES[expression.name]
        case Unary():
            return _type_of_unary(expression, text)
        case Binary():
            return _type_of_binary(expression, text)


def _type_of_unary(unary: Unary, text: str) -> Type:
    wanted = Type.BOOL if unary.op == "!" else Type.NUMBER
    found = type_of(unary.operand, text)
    if found not in (wanted, Type.ANY):
        fail(text, unary.position, f"{unary.op} takes a {wanted}, this is a {found}")
    return wanted


def _type_of_binary(binary: Binary, text: str) -> Type:
    left, right = type_of(binary.left, text), type_of(binary.right, text)
    op, position = binary.op, binary.position
    if op in ("&&", "||") or op in _ARITHMETIC:
        wanted = Type.NUMBER if op in _ARITHMETIC else Type.BOOL
        for found in (left, right):
            if found not in (wanted, Type.ANY):
                fail(text, position, f"{op} takes a {wanted} on both sides, one is a {found}")
        return wanted
    if op in _REGEX:
        _check_regex(binary, left, text)
        return Type.BOOL
    _check_comparison(binary, left, right, text)
    return Type.BOOL


def _check_regex(binary: Binary, left: Type, text: str) -> None:
    if left not in (Type.TEXT, Type.ANY):
        fail(text, binary.position, f"{binary.op} takes a text on its left, this is a {left}")
    if not isinstance(binary.right, Literal) or binary.right.type is not Type.TEXT:
        fail(
            text,
            binary.position,
            f"a regular expression in quotes follows {binary.op}",
            'e.g. name =~ "GET.*"',
        )


def _check_comparison(binary: Binary, left: Type, right: Type, text: str) -> None:
    op, position = binary.op, binary.position
    kinds = {left, right}
    if op in _ORDERED and kinds & _WITHOUT_ORDER:
        kind = next(iter(kinds & _WITHOUT_ORDER))
        fail(text, position, f"a {kind} is neither larger nor smaller than another", "compare with = or !=")
    if Type.NIL in kinds:
        other = binary.left if right is Type.NIL else binary.right
        if not isinstance(other, Attribute | Intrinsic):
            fail(text, position, "only a field can be nil", "e.g. span.http.route != nil")
        return
    if Type.ANY in kinds:
        other_type = next(iter(kinds - {Type.ANY}), Type.ANY)
        if other_type in (Type.STATUS, Type.KIND, Type.SEVERITY):
            fail(
                text, position, f"an attribute is never a {other_type}", f"the field is {_FIELDS[other_type]}"
            )
        return
    if left is not right:
        fail(text, position, f"a {left} is never compared with a {right}")
    listed = [side for side in (binary.left, binary.right) if _is_listed(side)]
    if listed and not any(isinstance(side, Literal) for side in (binary.left, binary.right)):
        fail(
            text,
            position,
            "a span has several of these",
            'compare with a value, e.g. event:name = "exception"',
        )


_FIELDS = {Type.STATUS: "status", Type.KIND: "kind", Type.SEVERITY: "anomaly"}


def _is_listed(expression: Expression) -> bool:
    return isinstance(expression, Intrinsic) and expression.name in LISTED


def _has_field(expression: Expression) -> bool:
    match expression:
        case Attribute() | Intrinsic():
            return True
        case Unary():
            return _has_field(expression.operand)
        case Binary():
            return _has_field(expression.left) or _has_field(expression.right)
        case _:
            return False
