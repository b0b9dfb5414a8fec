"""The forms of many spans of whole traces at once (`detectors.baseline.forms`): learned, and judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.forms import CALLS, COUNT, ENDED_WELL, FAILED, STATUS, FormBook, FormRow, rounded
from detectors.baseline.settled import SettledTraces
from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.trace.self_time import NO_PARENT

_NAMED_MAX = 64  # callees that are named in a set
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SpanForms:
    """Aligned with some spans unless said otherwise.

    operations: distinct operations. A calling operation occurs once for each callee, and its name then
        contains the callee; operation_of: the index of each span's; plain: the same without callees.
    sets: the distinct (operation, indices of the operations that it called, rising); set_of: the index of
        each span's.
    caller, callee, calls: of each span and each operation that it called, how often; not aligned.
    whole: whether no span of its trace is missing; in other traces nobody knows which calls were made.
    """

    operations: list[Operation]
    plain: list[Operation]
    operation_of: IntArray
    sets: list[tuple[int, tuple[int, ...]]]
    set_of: IntArray
    caller: IntArray
    callee: IntArray
    calls: IntArray
    failed: BoolArray
    whole: BoolArray

    def name(self, place: int) -> str:
        """The name of a called operation in `FormRow`."""
        return " ".join(self.operations[place])

    def set_name(self, called: Iterable[int]) -> str:
        names = sorted(self.name(place) for place in called)
        if len(names) > _NAMED_MAX:
            text = "\n".join(names).encode()
            return f"{len(names)} operations {hashlib.blake2b(text, digest_size=8).hexdigest()}"
        return "\n".join(names)


def span_forms(settled: SettledTraces, landed: BoolArray | None = None) -> SpanForms:
    """The forms of all spans of some traces.

    Args:
        landed: which spans had landed at the moment in question; None: all.
    """
    spans, parent, whole = settled.spans, settled.parent, settled.whole[settled.trace_of]
    operations, plain, operation_of = _operations(spans)
    marks = _marks(operations)
    child = np.flatnonzero((parent != NO_PARENT) if landed is None else (parent != NO_PARENT) & landed)
    size = max(len(operations), 1)
    pairs, calls = np.unique(parent[child] * size + operation_of[child], return_counts=True)
    caller, callee = pairs // size, pairs % size
    mark = np.zeros(len(parent), dtype=np.uint64)
    np.add.at(mark, caller, marks[callee])
    key = np.empty(len(parent), dtype=[("operation", np.int64), ("mark", np.uint64)])
    key["operation"], key["mark"] = operation_of, mark
    _, first, set_of = np.unique(key, return_index=True, return_inverse=True)
    begins = np.searchsorted(caller, first)
    ends = np.searchsorted(caller, first, side="right")
    sets = [
        (int(operation_of[row]), tuple(callee[begin:end].tolist()))
        for row, begin, end in zip(first.tolist(), begins.tolist(), ends.tolist(), strict=True)
    ]
    failed = spans["failed"].to_numpy(zero_copy_only=False).astype(bool)
    return SpanForms(
        operations, plain, operation_of, sets, set_of.astype(np.int64), caller, callee, calls, failed, whole
    )


def form_rows(forms: SpanForms, chosen: BoolArray) -> list[FormRow]:
    """The rows to count for the chosen spans."""
    rows = call_rows(forms, chosen)
    for status, among in ((FAILED, chosen & forms.failed), (ENDED_WELL, chosen & ~forms.failed)):
        for operation, count in _counted(forms.operation_of[among]):
            rows.append(FormRow(forms.operations[operation], STATUS, "", status, count))
    return rows


def call_rows(forms: SpanForms, chosen: BoolArray, sign: int = 1) -> list[FormRow]:
    """The same for their calls alone; `sign` -1 takes the count back."""
    rows = []
    calling = chosen & forms.whole
    for place, count in _counted(forms.set_of[calling]):
        operation, called = forms.sets[place]
        rows.append(FormRow(forms.operations[operation], CALLS, "", forms.set_name(called), sign * count))
    kept = calling[forms.caller]
    triples = np.stack([forms.operation_of[forms.caller[kept]], forms.callee[kept], forms.calls[kept]])
    found, counts = np.unique(triples, axis=1, return_counts=True)
    for (operation, callee, calls), count in zip(found.T.tolist(), counts.tolist(), strict=True):
        key = forms.operations[operation]
        rows.append(FormRow(key, COUNT, forms.name(callee), str(rounded(calls)), sign * count))
    return rows


def form_chances(forms: SpanForms, book: FormBook) -> tuple[FloatArray, list[str], IntArray]:
    """(p of each span's least usual form, texts of unusual forms, the index of each span's text)."""
    chance = np.ones(len(forms.operation_of))
    said: list[str] = [""]
    reason = np.zeros(len(chance), dtype=np.int64)

    def note(rows: IntArray, p: float, text: str, *, of_calls: bool = True) -> None:
        if of_calls:
            rows = rows[forms.whole[rows]]
        if p < 1.0 and len(rows):
            said.append(text)
            less = rows[chance[rows] > p]
            chance[less], reason[less] = p, len(said) - 1

    order = np.argsort(forms.set_of, kind="stable")
    ends = np.searchsorted(forms.set_of[order], np.arange(len(forms.sets)), side="right")
    for place, (operation, called) in enumerate(forms.sets):
        key = forms.operations[operation]
        p, text = book.set_chance(key, forms.set_name(called)), "calls an unusual set of operations"
        present = {forms.name(other) for other in called}
        for missing in book.never_left_out(key):
            if missing not in present and (without := book.count_chance(key, missing, 0)) <= p:
                p, text = without, f"does not call {missing}"
        if p < 1.0:
            note(order[ends[place - 1] if place else 0 : ends[place]], p, text)
    size = len(forms.operations)
    if len(forms.caller):
        triples = np.stack([forms.operation_of[forms.caller], forms.callee, forms.calls])
        found, which = np.unique(triples, axis=1, return_inverse=True)
        which = which.reshape(-1)
        by_triple = np.argsort(which, kind="stable")
        ends = np.searchsorted(which[by_triple], np.arange(found.shape[1]), side="right")
        for place, (operation, callee, calls) in enumerate(found.T.tolist()):
            name = forms.name(callee)
            p = book.count_chance(forms.operations[operation], name, calls)
            if p < 1.0:
                rows = forms.caller[by_triple[ends[place - 1] if place else 0 : ends[place]]]
                note(rows, p, f"calls {name} {calls} times")
    for operation in range(size):
        for status in (True, False):
            p = book.status_chance(forms.operations[operation], FAILED if status else ENDED_WELL)
            if p < 1.0:
                rows = np.flatnonzero((forms.operation_of == operation) & (forms.failed == status))
                note(rows, p, "fails" if status else "does not fail", of_calls=False)
    return chance, said, reason


def _operations(spans: pa.Table) -> tuple[list[Operation], list[Operation], IntArray]:
    """(operations with their callees, operations without, the index of each span's operation)."""
    names = [spans[name] for name in ("service_name", "operation", "span_kind")]
    callee = pc.fill_null(spans["callee"], "")
    joined = pc.binary_join_element_wise(*names, callee, "\x1f").combine_chunks()
    if isinstance(joined, pa.ChunkedArray):  # an empty column stays chunked
        joined = pa.concat_arrays(joined.chunks)
    encoded = joined.dictionary_encode()
    operations, plain = [], []
    for text in encoded.dictionary.to_pylist():
        service, rest = text.split("\x1f", 1)
        operation, kind, callee = rest.rsplit("\x1f", 2)
        plain.append(Operation(service, operation, kind))
        operations.append(Operation(service, f"{operation} {callee}".rstrip(), kind))
    return operations, plain, np.asarray(encoded.indices.to_numpy(), dtype=np.int64)


def _marks(operations: list[Operation]) -> npt.NDArray[np.uint64]:
    """A random number for each operation: the sum of these numbers identifies a set."""
    digests = (hashlib.blake2b("\x1f".join(key).encode(), digest_size=8).digest() for key in operations)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def _counted(values: IntArray) -> list[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
