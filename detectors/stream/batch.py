"""A batch of landed spans as window detectors see it: numbered operations, seconds, and the ring's step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.model.operation import Operation
from detectors.stats.arrays import IntArray
from detectors.stream.event_time import Ring, Step
from detectors.stream.span_groups import SpanGroups, operation_codes

_SEPARATOR = "\x1f"
# Watched in windows; a sender that puts ids into span names would otherwise take all memory (3 kB each).
OPERATIONS_MAX = 20_000
_CALLEES_MAX = 100  # callees of one operation; further callees share one number


class Operations:
    """Numbers operations and their services in the order in which they appear.

    A calling operation has a number for each callee (`callee_of` of the schema): all HTTP calls of a service
    may be one operation, GET, and each has its own errors and its own rhythm.
    """

    def __init__(self) -> None:
        self._codes: dict[tuple[Operation, str], int] = {}
        self._of_key: dict[Operation, list[int]] = {}
        self._services: dict[str, int] = {}
        self.keys: list[Operation] = []
        self.callees: list[str] = []  # of each number; empty where it is not known

    def code(self, key: Operation, callee: str = "") -> int:
        """The number of an operation; -1 beyond the limit."""
        known = self._codes.get((key, callee))
        if known is None:
            of_key = self._of_key.setdefault(key, [])
            if callee and len(of_key) > _CALLEES_MAX:
                return self.code(key)
            if len(self.keys) >= OPERATIONS_MAX:
                return -1
            known = self._codes[key, callee] = len(self.keys)
            of_key.append(known)
            self.keys.append(key)
            self.callees.append(callee)
        return known

    def codes(self, key: Operation) -> list[int]:
        """The numbers of an operation, whomever it calls."""
        return self._of_key.get(key, [])

    def label(self, code: int) -> str:
        """The operation's name for people.

        >>> operations = Operations()
        >>> operations.label(operations.code(Operation("shop", "GET", "CLIENT"), "prices:443"))
        'GET prices:443'
        """
        return f"{self.keys[code][1]} {self.callees[code]}".rstrip()

    def stored(self, code: int) -> Operation:
        """The operation as three texts, for tables of learned state."""
        operation, callee = self.keys[code], self.callees[code]
        return (
            operation._replace(operation=f"{operation.operation}{_SEPARATOR}{callee}")
            if callee
            else operation
        )

    def code_stored(self, service_name: str, operation: str, span_kind: str) -> int:
        """The number of an operation from its three texts of `stored`."""
        name, _, callee = operation.rpartition(_SEPARATOR) if _SEPARATOR in operation else (operation, "", "")
        return self.code(Operation(service_name, name, span_kind), callee)

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
    codes = _numbers(operations, local, keys, spans["callee"])
    if (codes < 0).any():
        watched = np.flatnonzero(codes >= 0)
        spans, codes = spans.take(pa.array(watched)), codes[watched]
    ends = spans["start_unix_nano"].to_numpy() + np.maximum(spans["duration_ns"].to_numpy(), 0)
    for step in ring.steps(ends):
        whole = len(step.rows) == spans.num_rows
        part = spans if whole else spans.take(pa.array(step.rows))
        yield Batch(operations, part, codes[step.rows], step.ticks, step.late, step, ring.begun)


def _numbers(
    operations: Operations, local: IntArray, keys: list[Operation], callee: pa.ChunkedArray
) -> IntArray:
    """The number of each span's operation and callee."""
    known = callee.is_valid().to_numpy()
    plain = np.full(len(keys), -1, dtype=np.int64)
    for place in np.unique(local[~known]).tolist():
        plain[place] = operations.code(keys[place])
    codes = plain[local]
    calling = np.flatnonzero(known)
    if len(calling):
        names = callee.take(pa.array(calling)).combine_chunks().dictionary_encode()
        texts, size = names.dictionary.to_pylist(), len(names.dictionary)
        both, which = np.unique(local[calling] * size + names.indices.to_numpy(), return_inverse=True)
        numbers = [operations.code(keys[pair // size], texts[pair % size]) for pair in both.tolist()]
        codes[calling] = np.array(numbers, dtype=np.int64)[which]
    return codes
