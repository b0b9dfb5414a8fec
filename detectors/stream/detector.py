"""The contract of a detector: two methods that judge, three that keep its state.

The runtime (`detectors.pipeline`) gives a detector each step of what landed, in order of landing, stores what
it has `changed` in the transaction of the anomalies, says `committed` once that stands, and gives the rows
back to `restore` after a restart. Nothing else needs to know a detector: it is a file, the SQL that it needs,
and a line in `detectors.pipeline.registry`.

Sources: the two methods of river's anomaly detectors; snapshot and restore of bytewax's stateful steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from detectors.model.anomaly import Anomaly
from detectors.model.roles import Role, role_of
from detectors.stream.batch import Batch
from detectors.stream.span_groups import SpanGroups

Rows = Mapping[str, Sequence[dict[str, Any]]]  # table → all its rows


class Input(StrEnum):
    """The kind of rows that a detector judges."""

    SPANS = "spans"
    ORDERS = "orders"  # spans that carry an amount
    LOGS = "logs"
    METRICS = "metrics"


class Verdict(NamedTuple):
    """The result of a step: new anomalies, known ones that became worse, known ones now shown at another
    span.
    """

    new: Sequence[Anomaly] = ()
    raised: Sequence[Anomaly] = ()
    moved: Sequence[Anomaly] = ()


class State(NamedTuple):
    """Rows that replace rows of the same key; columns of `table` without `updated_at`.

    forget: a statement that runs before, in which these rows are the table `changed`.
    """

    table: str
    rows: pa.Table
    forget: str = ""


@dataclass(slots=True)
class Step:
    """The landed rows of one pass.

    now_s: the detector's clock; head_s: the newest second of span time, 0 before the first.
    spans: columns of `stream/queries/new_spans.sql`; groups and batches are of these.
    amounts: rows of `orders.amount_columns.SCHEMA`.
    lines, points: columns of `pipeline/queries/new_logs.sql` and `new_metrics.sql`.
    least_sigma: the σ that a lone span needs.
    held: codes of operations in incidents, whose failures, refusals and calls are not learned.
    found: anomalies of this step from the detectors before this one.
    """

    now_s: float
    spans: pa.Table
    groups: SpanGroups
    batches: Sequence[Batch]
    amounts: pa.Table
    head_s: int = 0
    least_sigma: float = 0.0
    held: Sequence[int] = ()
    lines: pa.Table | None = None
    points: pa.Table | None = None
    found: list[Anomaly] = field(default_factory=list)


class Detector(ABC):
    """Judges its input step by step. One thread calls it.

    name: of this class; detector: the column of its anomalies, which several classes may share.
    rule: the value in the anomalies' `details`, where the rule has a role of its own.
    tables: the tables of its state.
    saved_every_s: the greatest age of its stored state.
    """

    name: ClassVar[str]
    detector: ClassVar[str]
    rule: ClassVar[str] = ""
    input: ClassVar[Input]
    tables: ClassVar[tuple[str, ...]] = ()
    saved_every_s: ClassVar[float] = 10.0

    @property
    def role(self) -> Role:
        """The meaning of its anomalies for incidents (`detectors.model.roles`)."""
        return role_of(self.detector, self.rule)

    @abstractmethod
    def observe(self, step: Step) -> Verdict:
        """Judge a step that holds the detector's input; called once for each step."""

    def advance(self, batch: Batch) -> None:  # noqa: B027  # most need no more than their input
        """Count spans, whatever the detector's input is; called before `observe` of the same step."""

    def changed(self) -> Sequence[State]:
        """The state that has changed since the last call of `committed`."""
        return ()

    def committed(self) -> None:  # noqa: B027  # a detector without state has nothing to do
        """Note that the last result of `changed` is stored."""

    def restore(self, rows: Rows) -> None:  # noqa: B027
        """Begin with the rows of `tables` that a former run stored; called before the first step."""
