"""Binary values put together from parts, a whole column at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import Ints, arrow, offsets


def with_offsets(headers: pa.BinaryArray, counts: Ints, parts: pa.BinaryArray) -> pa.BinaryArray:
    """`header + offsets + parts` for each row, where row r owns the next `counts[r]` parts.

    The offsets, four bytes each, count from the row's first part; the last is where its parts end.
    """
    ends = offsets(parts)
    first_part = np.concatenate([[0], np.cumsum(counts)])
    row_of_offset = np.repeat(np.arange(len(counts)), counts + 1)  # a row of n parts has n + 1 offsets
    part_of_offset = np.arange(len(row_of_offset)) - row_of_offset
    relative = (ends[part_of_offset] - ends[first_part[row_of_offset]]).astype("<u4")
    places = pieces(4 * (counts + 1), relative.view(np.uint8))
    # The parts of a row are already side by side: a coarser set of offsets makes them one value.
    joined = pa.Array.from_buffers(
        pa.binary(),
        len(counts),
        [None, pa.py_buffer(ends[first_part].astype(np.int32)), parts.buffers()[2]],
    )
    return pc.binary_join_element_wise(headers, places, joined, b"")


def headers_of(counts: Ints, make: Callable[[int], bytes]) -> pa.BinaryArray:
    """`make(count)` for each row, built once for each distinct count."""
    distinct, place = np.unique(counts, return_inverse=True)
    return pa.array([make(int(count)) for count in distinct], pa.binary()).take(arrow(place))


def pieces(sizes: Ints, content: npt.NDArray[np.uint8]) -> pa.BinaryArray:
    """Pieces of `content`, one after another, as a binary array."""
    places = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(sizes), [None, pa.py_buffer(places), pa.py_buffer(np.ascontiguousarray(content))]
    )
