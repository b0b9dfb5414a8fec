"""Translates the searches of other tools into the parts of our own search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.errors import InvalidInput
from collector.search.syntax import (
    AS_TEXT,
    Attribute,
    Binary,
    Expression,
    Filter,
    Intrinsic,
    Literal,
    Pipeline,
    Query,
    Type,
)
from collector.search.tokens import duration_ns

TAGS_MAX = 32
_KINDS = frozenset({"client", "server", "producer", "consumer", "internal", "unspecified"})
_STATUSES = frozenset({"ok", "error", "unset"})


def query_of(conditions: Sequence[Expression]) -> Query:
    """All of them, of one span."""
    joined: Expression | None = None
    for condition in conditions:
        joined = condition if joined is None else Binary("&&", joined, condition, 0)
    return Query("", Pipeline((Filter(joined),)), None)


def service_is(name: str) -> Expression:
    return Binary("=", Attribute("resource", "service.name", False, 0), Literal(Type.TEXT, name, 0), 0)


def name_is(name: str) -> Expression:
    return Binary("=", Intrinsic("name", 0), Literal(Type.TEXT, name, 0), 0)


def durations(least: str | None, most: str | None) -> list[Expression]:
    """Raises InvalidInput for what is not a duration such as `1.5s`."""
    found: list[Expression] = []
    for op, text in ((">=", least), ("<=", most)):
        if text:
            nanoseconds = duration_ns(text)
            if nanoseconds is None:
                raise InvalidInput(
                    f"{text[:100]!r} is not a duration", hint="write e.g. 500ms, 1.2s or 1m30s"
                )
            found.append(Binary(op, Intrinsic("duration", 0), Literal(Type.NUMBER, nanoseconds, 0), 0))
    return found


def tags_are(tags: Mapping[str, str]) -> list[Expression]:
    """Each tag, of the span or of its resource, as text. Raises InvalidInput for too many."""
    if len(tags) > TAGS_MAX:
        raise InvalidInput(f"{len(tags)} tags are more than {TAGS_MAX}", hint="ask for fewer")
    return [_tag_is(key, value) for key, value in tags.items()]


def _tag_is(key: str, value: str) -> Expression:
    low = value.lower()
    if key == "error" and low in ("true", "false"):
        op = "=" if low == "true" else "!="
        return Binary(op, Intrinsic("status", 0), Literal(Type.STATUS, "ERROR", 0), 0)
    if key == "span.kind" and low in _KINDS:
        return Binary("=", Intrinsic("kind", 0), Literal(Type.KIND, low.upper(), 0), 0)
    if key in ("otel.status_code", "status", "status.code") and low in _STATUSES:
        return Binary("=", Intrinsic("status", 0), Literal(Type.STATUS, low.upper(), 0), 0)
    text = Literal(Type.TEXT, value, 0)
    for name, field in (
        ("otel.status_description", "statusMessage"),
        ("otel.scope.name", "instrumentation:name"),
        ("otel.scope.version", "instrumentation:version"),
        ("name", "name"),
    ):
        if key == name:
            return Binary("=", Intrinsic(field, 0), text, 0)
    either = [Binary(AS_TEXT, Attribute(scope, key, False, 0), text, 0) for scope in ("span", "resource")]
    return Binary("||", either[0], either[1], 0)
