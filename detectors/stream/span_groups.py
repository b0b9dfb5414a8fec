"""The spans of a batch by operation and hour of week, with the model that each is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.baseline.models import Model
from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.seasonality import HOURS_PER_WEEK, hour_of_week

_HOUR_NS = 3_600_000_000_000


# (service name, span name, span kind, hour of week) → what it is compared with; None while it is learned
FindModel = Callable[[str, str, str, int], Model | None]


@dataclass(frozen=True, slots=True)
class SpanGroups:
    """The spans of a batch by operation and hour of week: each group is compared with one model.

    models: one for each group, None while the operation is learning; group_of: the group of each span;
    codes: the operation of each, as a place in `keys`.
    """

    operations: list[Operation]
    models: list[Model | None]
    group_of: IntArray
    codes: IntArray
    keys: list[Operation]

    def counts(self) -> dict[Operation, int]:
        """How many spans of each operation there are."""
        counts: dict[Operation, int] = {}
        sizes = np.bincount(self.group_of, minlength=len(self.operations)).tolist()
        for operation, size in zip(self.operations, sizes, strict=True):
            counts[operation] = counts.get(operation, 0) + size
        return counts

    def limits(self, limit: Callable[[Model], float]) -> FloatArray:
        """A figure of each span's model; +inf where there is none."""
        figures = np.array([limit(model) if model else np.inf for model in self.models])
        return figures[self.group_of] if len(figures) else np.empty(0)


def group_spans(spans: pa.Table, model: FindModel) -> SpanGroups:
    """Look up what each span of a batch must be compared with.

    Args:
        spans: columns of `queries/new_spans.sql`.
    """
    if not spans.num_rows:
        return SpanGroups([], [], np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), [])
    codes, keys = operation_codes(spans)
    starts = spans["start_unix_nano"].to_numpy()
    first, last = (int(hour_of_week(start)) for start in (starts.min(), starts.max()))
    groups: IntArray
    if first == last and starts.max() - starts.min() < _HOUR_NS:  # as nearly always: no sorting
        groups, group_of = np.arange(len(keys)) * HOURS_PER_WEEK + first, codes
    else:
        groups, group_of = np.unique(codes * HOURS_PER_WEEK + hour_of_week(starts), return_inverse=True)
    operations = [keys[int(group) // HOURS_PER_WEEK] for group in groups]
    models = [
        model(*operation, int(group) % HOURS_PER_WEEK)
        for operation, group in zip(operations, groups, strict=True)
    ]
    return SpanGroups(operations, models, group_of, codes, keys)


def operation_codes(spans: pa.Table) -> tuple[npt.NDArray[np.int64], list[Operation]]:
    """A code for each row, and the (service, operation, kind) of each code."""
    encoded = spans["operation_key"].combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # an empty or chunk-free column stays chunked
        encoded = pa.concat_arrays(encoded.chunks)
    encoded = encoded.dictionary_encode()
    keys = [split_key(key) for key in encoded.dictionary.to_pylist()]
    return encoded.indices.to_numpy().astype(np.int64), keys


def split_key(operation_key: str) -> Operation:
    # The kind cannot hold the separator; a hostile span name can, and stays whole.
    service_name, rest = operation_key.split("\x1f", 1)
    operation, span_kind = rest.rsplit("\x1f", 1)
    return Operation(service_name, operation, span_kind)
