"""NumPy views of Arrow buffers, and back: `np.asarray` of an Arrow array copies it, booleans bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_WIDTH_DTYPES = {
    pa.int32(): np.int32,
    pa.uint32(): np.uint32,
    pa.int64(): np.int64,
    pa.uint64(): np.uint64,
    pa.float64(): np.float64,
}
_ARROW_TYPES = {np.dtype(dtype): kind for kind, dtype in _WIDTH_DTYPES.items()}


def valid(array: pa.Array) -> Bools:
    """Which elements are not NULL."""
    if array.null_count == 0:
        return np.ones(len(array), dtype=bool)
    if pa.types.is_null(array.type):
        return np.zeros(len(array), dtype=bool)
    return _bits(array.buffers()[0], array.offset, len(array))


def truth(array: pa.BooleanArray) -> Bools:
    """Which elements are true; NULL is not."""
    bits = _bits(array.buffers()[1], array.offset, len(array))
    return bits & valid(array) if array.null_count else bits


def numbers(array: pa.Array) -> npt.NDArray[Any]:
    """The numbers in their own width, read-only where nothing had to change; NULL is 0, as in protobuf."""
    dtype = _WIDTH_DTYPES[array.type]
    if len(array) == 0:
        return np.zeros(0, dtype=dtype)
    view = np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]
    if array.null_count:
        view = view.copy()
        view[~valid(array)] = 0
    return view


def lengths(lists: pa.ListArray) -> Ints:
    """Elements in each list; NULL has none."""
    sizes = np.diff(offsets(lists)).astype(np.int64)
    return sizes * valid(lists) if lists.null_count else sizes


def offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    """Where each element of a list, string or binary array begins, and where the last ends."""
    if len(array) == 0 or array.buffers()[1] is None:
        return np.zeros(len(array) + 1, dtype=np.int32)
    return np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]


def arrow(values: npt.NDArray[Any], absent: Bools | None = None) -> pa.Array:
    """The same numbers as an Arrow array, without a copy; NULL where `absent`."""
    bitmap = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    kind = _ARROW_TYPES[values.dtype]
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(np.ascontiguousarray(values))])


def flags(values: Bools) -> pa.BooleanArray:
    """Booleans as an Arrow array."""
    packed = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, packed])


def _bits(bitmap: pa.Buffer | None, offset: int, count: int) -> Bools:
    if bitmap is None or count == 0:
        return np.zeros(count, dtype=bool)
    packed = np.frombuffer(bitmap, dtype=np.uint8)[offset // 8 : (offset + count + 7) // 8]
    first = offset % 8
    return np.unpackbits(packed, bitorder="little")[first : first + count].view(np.bool_)
