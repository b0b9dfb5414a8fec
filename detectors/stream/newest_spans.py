"""The newest landed span of each operation, shown for an operation that has stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.stats.arrays import IntArray
from detectors.stream.batch import Batch, Operations

_IDS, _TIMES = ("trace_id", "span_id"), ("start_unix_nano", "duration_ns")


class NewestSpans:
    """Of all operations. Not thread-safe."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._count = 0  # of operations that were seen
        self._ids: npt.NDArray[np.object_] = np.full((64, 2), "", dtype=object)
        self._times: IntArray = np.zeros((64, 2), dtype=np.int64)

    def advance(self, batch: Batch) -> None:
        """Remember the last row of each operation of a batch."""
        self._count = len(self._operations.keys)
        missing = self._count - len(self._times)
        if missing > 0:
            more = max(missing, len(self._times))
            self._ids = np.concatenate([self._ids, np.full((more, 2), "", dtype=object)])
            self._times = np.concatenate([self._times, np.zeros((more, 2), dtype=np.int64)])
        turned = batch.codes[::-1]
        codes, back = np.unique(turned, return_index=True)
        rows = len(turned) - 1 - back
        part = batch.spans.select([*_IDS, *_TIMES]).take(pa.array(rows))
        for place, name in enumerate(_IDS):
            self._ids[codes, place] = part[name].to_numpy(zero_copy_only=False)
        for place, name in enumerate(_TIMES):
            self._times[codes, place] = part[name].to_numpy()

    def of_operation(self, code: int) -> dict[str, Any] | None:
        """trace_id, span_id, start_unix_nano and duration_ns; None while none has landed."""
        if code >= self._count or not self._ids[code, 0]:
            return None
        return dict(zip((*_IDS, *_TIMES), (*self._ids[code], *self._times[code].tolist()), strict=True))

    def newest(self) -> tuple[int, dict[str, Any]] | None:
        """(the operation, as `of_operation`) of the span that began last; None before the first."""
        seen = np.flatnonzero(self._times[: self._count, 0])
        if not len(seen):
            return None
        code = int(seen[self._times[seen, 0].argmax()])
        row = self.of_operation(code)
        return (code, row) if row else None

    def of_service(self, service: str) -> dict[str, Any] | None:
        """The newest of a service, with its operation; None when it has none."""
        keys = self._operations.keys[: self._count]
        codes = [code for code, key in enumerate(keys) if key[0] == service and self._ids[code, 0]]
        if not codes:
            return None
        code = max(codes, key=lambda c: int(self._times[c, 0]))
        named = dict(zip(("service_name", "operation", "span_kind"), keys[code], strict=True))
        return {**(self.of_operation(code) or {}), **named}
