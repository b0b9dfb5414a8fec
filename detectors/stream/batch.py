"""A batch of landed spans as window detectors see it: numbered operations, seconds, and the ring's step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.model.operation import OperationKey
from detectors.stats.arrays import IntArray
from detectors.stream.event_time import Ring, Step
from detectors.stream.span_groups import SpanGroups, operation_codes

# Watched in windows; a sender that puts ids into span names would otherwise take all memory (3 kB each).
OPERATIONS_MAX = 20_000


class Operations:
    """Numbers operations and their services in the order in which they are met."""

    def __init__(self) -> None:
        self._codes: dict[OperationKey, int] = {}
        self._services: dict[str, int] = {}
        self.keys: list[OperationKey] = []

    def code(self, key: OperationKey) -> int:
        """Its number; -1 for one too many."""
        known = self._codes.get(key)
        if known is None:
            if len(self.keys) >= OPERATIONS_MAX:
                return -1
            known = self._codes[key] = len(self.keys)
            self.keys.append(key)
        return known

    def service(self, code: int) -> int:
        """The number of an operation's service."""
        return self._services.setdefault(self.keys[code][0], len(self._services))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step. `codes`, `ticks` and `late` are aligned with `spans` (columns of `queries/new_spans.sql`)."""

    operations: Operations
    spans: pa.Table
    codes: IntArray
    ticks: IntArray
    late: npt.NDArray[np.bool_]
    step: Step
    begun: int  # the ring's first whole second

    @property
    def head(self) -> int:
        return self.step.head

    def ended(self) -> IntArray:
        """When each span ended, ns since 1970."""
        lengths: IntArray = np.maximum(self.spans["duration_ns"].to_numpy(), 0)
        return np.asarray(self.spans["start_unix_nano"].to_numpy() + lengths, dtype=np.int64)

    def failed(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.spans["failed"].to_numpy(), dtype=bool)


def batches(
    spans: pa.Table, operations: Operations, ring: Ring, groups: SpanGroups | None = None
) -> Iterator[Batch]:
    """Cut what landed into steps of time; one, unless it covers more than half a minute.

    Args:
        groups: of these spans, where the caller has them.
    """
    if not spans.num_rows:
        return
    local, keys = (groups.codes, groups.keys) if groups else operation_codes(spans)
    codes = np.array([operations.code(key) for key in keys], dtype=np.int64)[local]
    if (codes < 0).any():
        watched = np.flatnonzero(codes >= 0)
        spans, codes = spans.take(pa.array(watched)), codes[watched]
    ends = spans["start_unix_nano"].to_numpy() + np.maximum(spans["duration_ns"].to_numpy(), 0)
    for step in ring.steps(ends):
        whole = len(step.rows) == spans.num_rows
        part = spans if whole else spans.take(pa.array(step.rows))
        yield Batch(operations, part, codes[step.rows], step.ticks, step.late, step, ring.begun)
