"""A parsed search: the tree that the parser makes and the compiler reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """What an expression gives. ANY: an attribute, which has the type that its sender gave it."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "true or false"
    STATUS = "status"
    KIND = "kind"
    SEVERITY = "severity"
    NIL = "nil"
    ANY = "attribute"


@dataclass(frozen=True, slots=True)
class Literal:
    """`value`: str, int, float, bool or None; a status or kind as the column holds it; a severity 1 to 5;
    a duration in nanoseconds."""

    type: Type
    value: str | int | float | bool | None
    position: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute. `scope`: `span`, `resource`, `event`, `link`, `instrumentation`, or empty for span, then
    resource."""

    scope: str
    name: str
    of_parent: bool
    position: int


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """A field that every span has, by its plain name, e.g. `duration`, `rootName`."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Unary:
    op: str  # ! or -
    operand: Expression
    position: int


# Of an attribute: its value, of whatever type, is written so. Jaeger's tags are compared in this way; the
# language has no word for it.
AS_TEXT = "as text ="


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Expression
    right: Expression
    position: int  # of the operator


Expression = Literal | Attribute | Intrinsic | Unary | Binary


@dataclass(frozen=True, slots=True)
class Filter:
    """`{ condition }`; None: every span."""

    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Operation:
    """`left op right` of sets of spans: && || and the structural > >> < << ~, with ! or & before them."""

    op: str
    left: Spanset
    right: Spanset


@dataclass(frozen=True, slots=True)
class Aggregate:
    """count() has no operand."""

    function: str
    operand: Expression | None


@dataclass(frozen=True, slots=True)
class ScalarFilter:
    """`aggregate op value`: keeps the sets of spans for which it holds."""

    aggregate: Aggregate
    op: str
    value: float


@dataclass(frozen=True, slots=True)
class GroupBy:
    keys: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Coalesce:
    """Undoes `by`."""


@dataclass(frozen=True, slots=True)
class Select:
    """Values that are shown with each span."""

    fields: tuple[Attribute | Intrinsic, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages, each over what the one before left."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """`rate()`, `quantile_over_time(duration, .9)` …: the last stage of a search for figures over time."""

    function: str
    operand: Expression | None
    quantiles: tuple[float, ...]
    by: tuple[Attribute | Intrinsic, ...]
    position: int


Spanset = Filter | Operation | Pipeline
Stage = Filter | Operation | Pipeline | ScalarFilter | GroupBy | Coalesce | Select


@dataclass(frozen=True, slots=True)
class Query:
    """`metric` is None for a search for traces."""

    text: str
    pipeline: Pipeline
    metric: Metric | None
