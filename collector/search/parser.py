"""Parses the tokens of a search into a tree, by recursive descent. A subset of TraceQL's grammar:
`&&` and `||` bind equally, from the left, and structural operators bind tighter.

Written by hand, so that each error names the place and the fault in the terms of the person who typed
it; a parser generator knows tokens.
"""

from __future__ import annotations

from typing import NoReturn

from collector.search import syntax as ast
from collector.search import unknown
from collector.search.fields import INTRINSICS
from collector.search.tokens import Token, TokenKind, fail, tokenize
from collector.search.types import check_condition, check_field, check_number

DEPTH_MAX = 32
CONDITIONS_MAX = 64
FILTERS_MAX = 16
STAGES_MAX = 16

_LITERALS: dict[str, tuple[ast.Type, str | float | bool | None]] = {
    "true": (ast.Type.BOOL, True),
    "false": (ast.Type.BOOL, False),
    "nil": (ast.Type.NIL, None),
    **{word: (ast.Type.STATUS, word.upper()) for word in ("ok", "error", "unset")},
    **{
        word: (ast.Type.KIND, word.upper())
        for word in ("unspecified", "internal", "server", "client", "producer", "consumer")
    },
    **{f"SEV{number}": (ast.Type.SEVERITY, number) for number in range(1, 6)},
}
_PRECEDENCES = {
    **dict.fromkeys(("&&", "||"), 1),
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">=", "=~", "!~"), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 5),
    "^": 6,
}
_NOT, _POWER = 4, 6
_STRUCTURAL = frozenset(
    {">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~"}
)
_SPANSET_PRECEDENCES = {"&&": 1, "||": 1, **dict.fromkeys(_STRUCTURAL, 2)}
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_AGGREGATES = frozenset({"count", "avg", "min", "max", "sum"})
METRICS = frozenset({"rate", "count_over_time"})
METRICS_OF_FIELD = frozenset(
    {
        "min_over_time",
        "max_over_time",
        "avg_over_time",
        "sum_over_time",
        "quantile_over_time",
        "histogram_over_time",
    }
)
_KEYS_MAX = 5  # of `by`, as in Tempo
_SELECTED_MAX = 20
_QUANTILES_MAX = 10


def parse(text: str) -> ast.Query:
    """
    Raises:
        InvalidInput: the text is no search; the message begins with line and column, as in `details`.
    """
    return _Parser(text).query()


def parse_field(text: str) -> ast.Attribute | ast.Intrinsic:
    """One field alone, e.g. `span.http.route`. Raises InvalidInput."""
    return _Parser(text).only_field()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._depth = self._conditions = self._filters = 0

    def query(self) -> ast.Query:
        if self._tokens[0].kind is TokenKind.END:
            self._fail("the search is empty", "{ } finds every trace")
        pipeline, metric = self._pipeline()
        if self._takes("with"):
            self._hints()
        if self._now.kind is not TokenKind.END:
            self._fail_if_known(self._now.text)
            self._fail(
                f"{self._shown()} does not belong here",
                f"nothing follows {metric.function}(…) but by (…): no topk, no comparison"
                if metric
                else "stages are separated by |",
            )
        return ast.Query(self._text, pipeline, metric)

    def only_field(self) -> ast.Attribute | ast.Intrinsic:
        field = self._field()
        rest = self._advance()
        if rest.kind is not TokenKind.END:
            fail(self._text, rest.position, f"{rest.text!r} does not belong here")
        return field

    # --- stages ---

    def _pipeline(self, *, is_inner: bool = False) -> tuple[ast.Pipeline, ast.Metric | None]:
        stages: list[ast.Stage] = []
        metric: ast.Metric | None = None
        while True:
            word = self._now.text if self._now.kind is TokenKind.WORD else ""
            if word in METRICS or word in METRICS_OF_FIELD:
                if is_inner or not stages:
                    self._fail(f"{word} follows a filter, at the end", "e.g. { status = error } | rate()")
                metric = self._metric(word)
                break
            stages.append(self._stage(word))
            if len(stages) > STAGES_MAX:
                self._fail(f"a search has at most {STAGES_MAX} stages")
            if not self._takes("|"):
                break
        return ast.Pipeline(tuple(stages)), metric

    def _stage(self, word: str) -> ast.Stage:
        if word in _AGGREGATES:
            return self._scalar_filter(word)
        match word:
            case "by":
                self._advance()
                return ast.GroupBy(tuple(self._fields(_KEYS_MAX)))
            case "coalesce":
                self._advance()
                self._expect("(")
                self._expect(")")
                return ast.Coalesce()
            case "select":
                self._advance()
                return ast.Select(tuple(self._fields(_SELECTED_MAX)))
            case "":
                return self._spanset(1)
            case _:
                self._fail_if_known(word)
                self._fail(
                    f"{word!r} is no stage",
                    "stages are { … }, count() > 1, avg|min|max|sum(field) > 1, by(…), coalesce(), select(…),"
                    f" {', '.join(sorted(METRICS | METRICS_OF_FIELD))}",
                )

    def _scalar_filter(self, word: str) -> ast.ScalarFilter:
        self._advance()
        self._expect("(")
        operand = None
        if word != "count":
            position = self._now.position
            operand = self._expression(1)
            check_number(operand, self._text, position)
        self._expect(")")
        op = self._now.text
        if op not in _COMPARISONS:
            self._fail(f"a comparison with a number follows {word}(…)", "e.g. | count() > 3")
        self._advance()
        sign = -1 if self._takes("-") else 1
        token = self._advance()
        if token.kind not in (TokenKind.INTEGER, TokenKind.FLOAT, TokenKind.DURATION):
            fail(self._text, token.position, f"{word}(…) is compared with a number or a duration")
        assert isinstance(token.value, int | float)
        return ast.ScalarFilter(ast.Aggregate(word, operand), op, sign * token.value)

    def _metric(self, word: str) -> ast.Metric:
        position = self._advance().position
        self._expect("(")
        operand, quantiles = None, []
        if word in METRICS_OF_FIELD:
            at = self._now.position
            operand = self._expression(1)
            check_number(operand, self._text, at)
            while word == "quantile_over_time" and self._takes(","):
                quantiles.append(self._quantile())
        if word == "quantile_over_time" and not 0 < len(quantiles) <= _QUANTILES_MAX:
            self._fail(
                f"quantile_over_time names one to {_QUANTILES_MAX} quantiles",
                "e.g. quantile_over_time(duration, .9, .99)",
            )
        self._expect(")")
        keys = self._fields(_KEYS_MAX) if self._takes("by") else []
        return ast.Metric(word, operand, tuple(quantiles), tuple(keys), position)

    def _quantile(self) -> float:
        token = self._advance()
        # `.9` is read as an attribute's name.
        text = f".{token.text}" if token.kind is TokenKind.ATTRIBUTE else token.text
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            fail(self._text, token.position, f"{text!r} is no quantile", "from 0 to 1, e.g. 0.99")
        return value

    def _fields(self, most: int) -> list[ast.Attribute | ast.Intrinsic]:
        self._expect("(")
        fields = [self._field()]
        while self._takes(","):
            fields.append(self._field())
        self._expect(")")
        if len(fields) > most:
            self._fail(f"at most {most} fields are taken here")
        return fields

    def _field(self) -> ast.Attribute | ast.Intrinsic:
        position = self._now.position
        field = self._primary()
        if not isinstance(field, ast.Attribute | ast.Intrinsic):
            fail(
                self._text,
                position,
                "a field stands here",
                "e.g. span.http.route, name, resource.service.name",
            )
        check_field(field, self._text)
        return field

    def _hints(self) -> None:
        """`with (name=value, …)`: they choose among ways to the same answer, of which there is one here."""
        self._expect("(")
        while not self._takes(")"):
            if self._advance().kind is TokenKind.END:
                self._fail("the hints have no closing )")

    # --- sets of spans ---

    def _spanset(self, least: int) -> ast.Spanset:
        left = self._spanset_primary()
        while True:
            op = self._now.text if self._now.kind is TokenKind.OPERATOR else ""
            precedence = _SPANSET_PRECEDENCES.get(op, 0)
            if precedence < least or precedence == 0:
                return left
            self._advance()
            left = ast.Operation(op, left, self._spanset(precedence + 1))

    def _spanset_primary(self) -> ast.Spanset:
        if self._takes("("):
            self._enter()
            inner, _ = self._pipeline(is_inner=True)
            self._leave()
            self._expect(")")
            only = inner.stages[0]
            if len(inner.stages) == 1 and isinstance(only, ast.Filter | ast.Operation | ast.Pipeline):
                return only
            return inner
        if not self._takes("{"):
            self._fail(
                f"{self._shown()} does not belong here", "a filter stands in braces: { status = error }"
            )
        self._filters += 1
        if self._filters > FILTERS_MAX:
            self._fail(f"a search has at most {FILTERS_MAX} filters")
        if self._takes("}"):
            return ast.Filter(None)
        position = self._now.position
        condition = self._expression(1)
        check_condition(condition, self._text, position)
        self._expect("}")
        return ast.Filter(condition)

    # --- conditions ---

    def _expression(self, least: int) -> ast.Expression:
        self._enter()
        left = self._operand()
        while True:
            op = self._now.text if self._now.kind is TokenKind.OPERATOR else ""
            precedence = _PRECEDENCES.get(op, 0)
            if precedence < least or precedence == 0:
                break
            position = self._advance().position
            self._conditions += 1
            if self._conditions > CONDITIONS_MAX:
                self._fail(f"a search has at most {CONDITIONS_MAX} operators")
            right = self._expression(precedence if precedence == _POWER else precedence + 1)
            left = ast.Binary(op, left, right, position)
        self._leave()
        return left

    def _operand(self) -> ast.Expression:
        position = self._now.position
        if self._takes("!"):
            return ast.Unary("!", self._expression(_NOT + 1), position)
        if self._takes("-"):
            operand = self._expression(_NOT)
            if isinstance(operand, ast.Literal) and isinstance(operand.value, int | float):
                return ast.Literal(operand.type, -operand.value, position)
            return ast.Unary("-", operand, position)
        if self._takes("("):
            inner = self._expression(1)
            self._expect(")")
            return inner
        return self._primary()

    def _primary(self) -> ast.Expression:
        token = self._now
        match token.kind:
            case TokenKind.STRING:
                literal = ast.Literal(ast.Type.TEXT, str(token.value), token.position)
            case TokenKind.INTEGER | TokenKind.FLOAT | TokenKind.DURATION:
                assert isinstance(token.value, int | float)
                literal = ast.Literal(ast.Type.NUMBER, token.value, token.position)
            case TokenKind.ATTRIBUTE:
                self._advance()
                return _attribute(token)
            case TokenKind.WORD if token.text in INTRINSICS:
                self._advance()
                return ast.Intrinsic(INTRINSICS[token.text], token.position)
            case TokenKind.WORD if token.text in _LITERALS:
                kind, value = _LITERALS[token.text]
                literal = ast.Literal(kind, value, token.position)
            case TokenKind.WORD:
                self._fail(*unknown.of_field(token.text, {**INTRINSICS, **_LITERALS}))
            case _:
                hint = "equality is one =" if token.text == "=" else ""
                self._fail(f"{self._shown()} stands where a field or a value is expected", hint)
        self._advance()
        return literal

    # --- words ---

    @property
    def _now(self) -> Token:
        return self._tokens[self._index]

    def _advance(self) -> Token:
        token = self._now
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    def _takes(self, text: str) -> bool:
        is_it = self._now.text == text and self._now.kind in (TokenKind.OPERATOR, TokenKind.WORD)
        self._index += is_it
        return is_it

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            self._fail_if_known(self._now.text)
            self._fail(f"{text} is expected before {self._shown()}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._fail(f"the search is nested more than {DEPTH_MAX} levels deep")

    def _leave(self) -> None:
        self._depth -= 1

    def _shown(self) -> str:
        return "the end" if self._now.kind is TokenKind.END else repr(self._now.text)

    def _fail_if_known(self, word: str) -> None:
        if any(told := unknown.of_word(word)):
            self._fail(*told)

    def _fail(self, problem: str, hint: str = "") -> NoReturn:
        fail(self._text, self._now.position, problem, hint)


def _attribute(token: Token) -> ast.Attribute:
    scope = str(token.value).removesuffix(".")
    of_parent = scope == "parent" or scope.startswith("parent.")
    scope = scope.removeprefix("parent").removeprefix(".")
    return ast.Attribute(scope, token.text, of_parent, token.position)
