"""Splits the text of a search into tokens, each with its place, by TraceQL's lexical rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, NoReturn

from collector.errors import InvalidInput

TEXT_CHARS_MAX = 8_192
TOKENS_MAX = 1_000
_NUMBER_MAX_CHARS = 64
# The scopes of attributes: what follows the dot is the name, up to the next space or one of these.
ATTRIBUTE_SCOPES = ("span", "resource", "parent", "event", "link", "instrumentation")
_ATTRIBUTE_ENDS = frozenset("{}()=~!<>&|^,")
_OPERATORS = (
    "!>>", "!<<", "&>>", "&<<", "&&", "||", ">>", "<<", ">=", "<=", "!=", "=~", "!~", "!>", "!<", "&>", "&<",
    "&~", "{", "}", "(", ")", "=", ">", "<", "~", "!", "|", "+", "-", "*", "/", "%", "^", ",",
)  # fmt: skip
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
    "y": 31_536_000_000_000_000,
}
_DURATION_PART = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(sorted(_UNITS_NS, key=len, reverse=True))})")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+(?![\w.])")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCOPED_WORD = re.compile(r"(?:span|trace|event|link|instrumentation):[A-Za-z_][A-Za-z0-9_]*")
_SCOPE = re.compile(rf"(?:parent\.)?(?:{'|'.join(ATTRIBUTE_SCOPES)})?\.")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"'}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class TokenKind(StrEnum):
    OPERATOR = "operator"
    WORD = "word"  # a keyword, an intrinsic or the name of a function
    ATTRIBUTE = "attribute"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    DURATION = "duration"
    END = "end"


class Token(NamedTuple):
    """One word. `value`: of a duration the nanoseconds, of an attribute the scope before the name."""

    kind: TokenKind
    text: str
    value: object
    position: int  # in characters


def fail(text: str, position: int, problem: str, hint: str = "") -> NoReturn:
    """Refuse a search and say where."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    raise InvalidInput(
        f"line {line}, column {column}: {problem}", hint=hint, details={"line": line, "column": column}
    )


def tokenize(text: str) -> list[Token]:
    """All words, with an END after the last.

    Raises:
        InvalidInput: it is too long, or holds something that is no word; the message names the place.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidInput(
            f"the search has {len(text):,} characters, {TEXT_CHARS_MAX:,} are allowed", hint="ask for less"
        )
    tokens: list[Token] = []
    for token in _tokens(text):
        tokens.append(token)
        if len(tokens) > TOKENS_MAX:
            fail(text, token.position, f"the search has more than {TOKENS_MAX:,} words", "ask for less")
    return [*tokens, Token(TokenKind.END, "", None, len(text))]


def duration_ns(text: str) -> int | None:
    """`1m30s` → ns; None for what is no duration."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(round(float(number) * _UNITS_NS[unit]) for number, unit in _DURATION_PART.findall(text))


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while True:
        if space := _SPACE.match(text, position):
            position = space.end()
        if position >= len(text):
            return
        token, position = _next(text, position)
        yield token


def _next(text: str, start: int) -> tuple[Token, int]:
    first = text[start]
    if scope := _SCOPE.match(text, start):
        name, end = _attribute_name(text, scope.end())
        if not name:
            fail(text, scope.end(), f"the name of an attribute follows {scope[0]!r}", "e.g. span.http.route")
        return Token(TokenKind.ATTRIBUTE, name, scope[0], start), end
    if word := _SCOPED_WORD.match(text, start) or _WORD.match(text, start):
        return Token(TokenKind.WORD, word[0], word[0], start), word.end()
    if first in '"`':
        value, end = _string(text, start)
        return Token(TokenKind.STRING, text[start:end], value, start), end
    if duration := _DURATION.match(text, start):
        # Python refuses texts of thousands of digits, and a float of hundreds is infinite.
        value_ns = duration_ns(duration[0]) if len(duration[0]) <= _NUMBER_MAX_CHARS else None
        if value_ns is None or value_ns >= 2**63:
            shown = duration[0][:_NUMBER_MAX_CHARS]
            fail(text, start, f"{shown} is longer than any span", "the longest is 292 years")
        return Token(TokenKind.DURATION, duration[0], value_ns, start), duration.end()
    if number := _NUMBER.match(text, start):
        return _number(text, start, number), number.end()
    if operator := next((op for op in _OPERATORS if text.startswith(op, start)), None):
        return Token(TokenKind.OPERATOR, operator, operator, start), start + len(operator)
    fail(text, start, f"{first!r} does not belong here")


def _number(text: str, start: int, number: re.Match[str]) -> Token:
    end = number.end()
    if end < len(text) and (text[end].isalnum() or text[end] in "._"):
        fail(
            text,
            start,
            f"{text[start : end + 1]!r}… is not a number",
            "durations are e.g. 500ms, 1.5s, 1h30m",
        )
    if number[0].isdigit():
        value = int(number[0]) if len(number[0]) <= _NUMBER_MAX_CHARS else 2**63
        if value >= 2**63:
            fail(text, start, f"{number[0][:_NUMBER_MAX_CHARS]} is larger than any attribute's number")
        return Token(TokenKind.INTEGER, number[0], value, start)
    value_float = float(number[0])
    if value_float == float("inf"):
        fail(text, start, f"{number[0]} is larger than any attribute's number")
    return Token(TokenKind.FLOAT, number[0], value_float, start)


def _attribute_name(text: str, start: int) -> tuple[str, int]:
    """A name up to its end; parts in quotes may hold anything."""
    parts: list[str] = []
    position = start
    while position < len(text) and not text[position].isspace() and text[position] not in _ATTRIBUTE_ENDS:
        if text[position] == '"':
            part, position = _string(text, position)
            parts.append(part)
        else:
            parts.append(text[position])
            position += 1
    return "".join(parts), position


def _string(text: str, start: int) -> tuple[str, int]:
    """The value of a string and where it ends: `"…"` with Go's escapes, or raw between backquotes."""
    quote = text[start]
    parts: list[str] = []
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == quote:
            return "".join(parts), position + 1
        if char == "\\" and quote == '"':
            part, position = _escaped(text, position)
            parts.append(part)
        elif char == "\n" and quote == '"':
            break
        else:
            parts.append(char)
            position += 1
    fail(text, start, f"the text that begins here has no closing {quote}")


def _escaped(text: str, start: int) -> tuple[str, int]:
    kind = text[start + 1 : start + 2]
    if kind in _ESCAPES:
        return _ESCAPES[kind], start + 2
    if digits := _HEX_ESCAPES.get(kind):
        code = text[start + 2 : start + 2 + digits]
        if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", code):
            number = int(code, 16)
            if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000:
                return chr(number), start + 2 + digits
    fail(
        text, start, f"\\{kind} is no escape that is known", r"write \\ for a backslash, or `…` for raw text"
    )
