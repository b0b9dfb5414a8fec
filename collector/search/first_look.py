"""Finds spans that may belong to a result, by conditions that DuckDB answers from few columns.

The conditions hold for more spans than the search (a text "500" passes for the number), never for fewer: what
passes is then judged exactly (`conditions.py`). `variant_typeof` would read every value of every span: 420 ms
for 2 M spans, where a plain cast takes 8 to 13.
"""

from __future__ import annotations

from collector.search.conditions import condition_sql, is_beyond_double, regex_sql
from collector.search.fields import COLUMNS, DERIVED
from collector.search.syntax import (
    AS_TEXT,
    Attribute,
    Binary,
    Expression,
    Filter,
    Intrinsic,
    Literal,
    Operation,
    Pipeline,
    Spanset,
    Type,
    Unary,
)
from collector.search.values import SERVICE_NAME, NeedsTrace, Params, Rows, plain_columns

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_WIDER = {"<": "<=", ">": ">="}
# What a comparison is worth: a kind is that of a third of all spans, an error that of few.
_UNSELECTIVE = {"kind": 1, "status": 2, "nestedSetParent": 1}
# From here on it pays to ask for both sides of a pair of sets: the second costs a scan of its columns, and a
# table of its traces in memory, and spares judging traces that have one side only.
_WORTH_A_JOIN = 2
_EQUALITY = 4
_ROOT_COLUMNS = {"rootName": "span_name", "rootServiceName": "service_name"}


class FirstLook:
    """Makes the condition of a first look.

    `careful` asks for types before casting, for data in which one attribute is a number here and a text
    there: a plain cast of such a text is an error.
    """

    def __init__(self, params: Params, *, careful: bool = False) -> None:
        self._params = params
        self._rows = Rows(params)
        self._careful = careful

    def of(self, spanset: Spanset) -> str:
        """A condition that holds for a span, at least, of every result of `spanset`."""
        return self._spanset(spanset) or "true"

    def _spanset(self, spanset: Spanset) -> str | None:  # one for each kind
        match spanset:
            case Filter(condition=None):
                return None
            case Filter(condition=condition):
                assert condition is not None
                return self._condition(condition) or self._root_condition(condition)
            case Pipeline():
                first = spanset.stages[0]
                return self._spanset(first) if isinstance(first, Filter | Operation | Pipeline) else None
            case Operation(op="||"):
                left, right = self._spanset(spanset.left), self._spanset(spanset.right)
                return None if left is None or right is None else f"({left} OR {right})"
            case Operation() if spanset.op.startswith("!"):
                return self._spanset(spanset.right)  # there may be nothing on the left
            case Operation():
                return self._pair(*sorted((spanset.left, spanset.right), key=_selectivity))

    def _pair(self, other: Spanset, most_telling: Spanset) -> str | None:
        """Each has a span in the result's trace: the one that says more finds fewer."""
        first, second = self._spanset(most_telling), self._spanset(other)
        if first is None or second is None or _selectivity(other) < _WORTH_A_JOIN:
            return first or second
        return (
            f"({first} AND trace_id IN (SELECT trace_id FROM spans"  # noqa: S608  # constant words
            " WHERE start_time >= make_timestamp_ns($around_from_ns::BIGINT)"
            f" AND start_time < make_timestamp_ns($around_until_ns::BIGINT) AND {second}))"
        )

    def _condition(self, expression: Expression) -> str | None:
        match expression:
            case Binary(op="&&"):
                both = [sql for side in (expression.left, expression.right) if (sql := self._condition(side))]
                return f"({' AND '.join(both)})" if both else None
            case Binary(op="||"):
                left, right = self._condition(expression.left), self._condition(expression.right)
                return None if left is None or right is None else f"({left} OR {right})"
            case Binary():
                return self._comparison(expression)
            case Attribute() if not expression.of_parent and expression.scope not in ("event", "link"):
                return self._attribute(expression, "=", Literal(Type.BOOL, True, 0))
            case _:
                return self._exactly(expression)

    def _exactly(self, expression: Expression) -> str | None:
        try:
            return condition_sql(expression, self._rows)
        except NeedsTrace:
            return None

    def _comparison(self, binary: Binary) -> str | None:
        left, right, op = binary.left, binary.right, binary.op
        if isinstance(left, Literal) and not isinstance(right, Literal):
            left, right, op = right, left, _FLIPPED.get(op, op)
        if isinstance(left, Intrinsic) and left.name == "anomaly" and isinstance(right, Literal):
            return self._anomaly(op, right)
        is_plain = (
            isinstance(left, Attribute)
            and not left.of_parent
            and left.scope in ("", "span", "resource", "instrumentation")
            and isinstance(right, Literal)
            and not (self._careful and right.type is Type.NUMBER)
        )
        if is_plain:
            assert isinstance(left, Attribute)
            assert isinstance(right, Literal)
            return self._attribute(left, op, right)
        if isinstance(left, Intrinsic) and left.name in COLUMNS and isinstance(right, Literal):
            return self._intrinsic(left, op, right)
        return self._exactly(binary)

    def _intrinsic(self, field: Intrinsic, op: str, literal: Literal) -> str:
        column = COLUMNS[field.name].sql
        if literal.type is Type.NIL:
            return f"({column} IS {'' if op == '=' else 'NOT '}NULL)"
        if op in ("=~", "!~"):
            return regex_sql(column, op, literal, self._rows)
        assert literal.value is not None
        return f"({column} {op} {self._params.add(literal.value)})"

    def _attribute(self, attribute: Attribute, op: str, literal: Literal) -> str:
        places = plain_columns(attribute, self._params)
        if literal.type is Type.NIL:
            word, joint = ("IS NULL", " AND ") if op == "=" else ("IS NOT NULL", " OR ")
            return f"({joint.join(f'{place} {word}' for place in places)})"
        if (attribute.name == SERVICE_NAME[1] and attribute.scope != "span") and literal.type is Type.TEXT:
            # The last of the places; a column of its own.
            texts = [*(f"{place}::VARCHAR" for place in places[:-1]), "service_name"]
        else:
            texts = [f"{place}::VARCHAR" for place in places]
        match literal.type:
            case Type.TEXT if op == AS_TEXT:
                assert isinstance(literal.value, str)
                either = [f"{text} = {self._params.add(literal.value)}" for text in texts]
            case Type.TEXT if op in ("=~", "!~"):
                either = [regex_sql(text, op, literal, self._rows) for text in texts]
            case Type.TEXT:
                assert isinstance(literal.value, str)
                either = [f"{text} {op} {self._params.add(literal.value)}" for text in texts]
            case Type.BOOL:
                wanted = literal.value if op == "=" else not literal.value
                either = [f"{text} = {self._params.add('true' if wanted else 'false')}" for text in texts]
            case _:
                either = self._numbers(places, op, literal)
        return f"({' OR '.join(either)})"

    def _numbers(self, places: list[str], op: str, literal: Literal) -> list[str]:
        assert isinstance(literal.value, int | float)
        if is_beyond_double(literal):
            if op == "!=":
                return [f"{place} IS NOT NULL" for place in places]
            op = _WIDER.get(op, op)
        number = self._params.add(float(literal.value))
        return [f"{place}::DOUBLE {op} {number}" for place in places]

    def _anomaly(self, op: str, literal: Literal) -> str | None:
        if literal.type is Type.NIL:
            return None if op == "=" else "(trace_id, span_id) IN (SELECT trace_id, span_id FROM anomalies)"
        assert isinstance(literal.value, int)
        # Of several anomalies of a span the worst counts, which `evaluate` knows.
        compared = (
            "true" if op == "!=" else f"severity {_FLIPPED.get(op, op)} {self._params.add(literal.value)}"
        )
        return f"(trace_id, span_id) IN (SELECT trace_id, span_id FROM anomalies WHERE {compared})"  # noqa: S608  # constant words

    def _root_condition(self, condition: Expression) -> str | None:
        """For conditions on the root alone: the root itself is the span that is looked for."""
        match condition:
            case Binary(op="&&"):
                sides = (self._root_condition(condition.left), self._root_condition(condition.right))
                return next((side for side in sides if side), None)
            case Binary(left=Intrinsic(name=name), right=Literal() as literal) if name in _ROOT_COLUMNS:
                if literal.type is Type.NIL:
                    return None
                column, op = _ROOT_COLUMNS[name], condition.op
                if op in ("=~", "!~"):
                    compared = regex_sql(column, op, literal, self._rows)
                else:
                    assert literal.value is not None
                    compared = f"{column} {op} {self._params.add(literal.value)}"
                return f"(parent_span_id IS NULL AND {compared})"
            case _:
                return None


def _selectivity(spanset: Spanset) -> int:
    """How much it asks for: equalities of values count most."""
    match spanset:
        case Filter(condition=None):
            return 0
        case Filter(condition=condition):
            assert condition is not None
            return _asked(condition)
        case Pipeline():
            first = spanset.stages[0]
            return _selectivity(first) if isinstance(first, Filter | Operation | Pipeline) else 0
        case Operation(op="||"):
            return min(_selectivity(spanset.left), _selectivity(spanset.right))
        case Operation() if spanset.op.startswith("!"):
            return _selectivity(spanset.right)
        case Operation():
            return max(_selectivity(spanset.left), _selectivity(spanset.right))


def _asked(expression: Expression) -> int:  # noqa: PLR0911  # one for each kind
    match expression:
        case Binary(op="&&"):
            return _asked(expression.left) + _asked(expression.right)
        case Binary(op="||"):
            return min(_asked(expression.left), _asked(expression.right))
        case Binary(left=Intrinsic(name=name)) if name in DERIVED and name != "anomaly":
            return 0
        case Binary(op="=" | "=~", left=Intrinsic(name=name)) if name in _UNSELECTIVE:
            return _UNSELECTIVE[name]
        case Binary(op="="):
            return _EQUALITY
        case Binary(op="!="):
            return 1
        case Binary():
            return 2
        case Unary() | Literal():
            return 0
        case _:
            return 1
