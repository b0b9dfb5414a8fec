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
    """What a detector judges."""

    SPANS = "spans"
    ORDERS = "orders"  # spans that carry an amount
    LOGS = "logs"
    METRICS = "metrics"


class Verdict(NamedTuple):
    """What a step reveals: new anomalies, known ones that are worse, known ones now shown at another span."""

    new: Sequence[Anomaly] = ()
    raised: Sequence[Anomaly] = ()
    moved: Sequence[Anomaly] = ()


class State(NamedTuple):
    """Rows that replace those of the same key; columns of `table` without `updated_at`.

    forget: a statement that runs before, over these rows as `changed`.
    """

    table: str
    rows: pa.Table
    forget: str = ""


@dataclass(slots=True)
class Step:
    """What landed, for one pass.

    now_s: the detector's clock; head_s: the newest second of span time, 0 before the first.
    spans: columns of `stream/queries/new_spans.sql`; groups and batches are of these.
    amounts: rows of `orders.amount_columns.SCHEMA`.
    lines, points: columns of `pipeline/queries/new_logs.sql` and `new_metrics.sql`.
    least_sigma: what a span needs to stand alone.
    held: codes of the operations in incidents: of how often they fail, refuse and call nothing is learned.
    found: what the detectors before this one have found in this step.
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
    """Follows what it judges from step to step. One thread calls it.

    name: its own; detector: the column of its anomalies, which several share.
    rule: in their `details`, where it has a role of its own.
    tables: where its state is kept.
    saved_every_s: how old its stored state may become.
    """

    name: ClassVar[str]
    detector: ClassVar[str]
    rule: ClassVar[str] = ""
    input: ClassVar[Input]
    tables: ClassVar[tuple[str, ...]] = ()
    saved_every_s: ClassVar[float] = 10.0

    @property
    def role(self) -> Role:
        """What its anomalies mean (`detectors.model.roles`)."""
        return role_of(self.detector, self.rule)

    @abstractmethod
    def observe(self, step: Step) -> Verdict:
        """Judge a step that holds the detector's input; called for each once."""

    def advance(self, batch: Batch) -> None:  # noqa: B027  # most need no more than their input
        """Take note of spans, whatever the detector's input is; called before `observe` of the same step."""

    def changed(self) -> Sequence[State]:
        """The state that has changed since `committed` was called last."""
        return ()

    def committed(self) -> None:  # noqa: B027  # one without state has nothing to note
        """What `changed` gave last is stored."""

    def restore(self, rows: Rows) -> None:  # noqa: B027
        """Begin with what a former run has stored, in `tables`; called before the first step."""
