from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from collector.decode import buffers

ARRAYS = {
    "plain": pa.array([1, 2, 3]),
    "nulls": pa.array([1, None, 3, None, 5, 6, 7, 8, None, 10]),
    "all null": pa.array([None, None], pa.int64()),
    "empty": pa.array([], pa.int64()),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("start", [0, 1, 9])
def test_numbers_and_validity(array: Any, start: int) -> None:
    """Views agree with Arrow's own reading, also of slices; NULL reads as 0."""
    part = array.slice(start)
    assert buffers.numbers(part).tolist() == [value or 0 for value in part.to_pylist()]
    assert buffers.valid(part).tolist() == [value is not None for value in part.to_pylist()]


@pytest.mark.parametrize("start", [0, 1, 7, 9])
def test_truth(start: int) -> None:
    """A bit for each boolean, wherever the slice begins in its byte; NULL is not true."""
    array = pa.array([True, False, None, True, True, False, True, None, True, False, True]).slice(start)
    assert buffers.truth(array).tolist() == [value is True for value in array.to_pylist()]


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_there_and_back(count: int) -> None:
    """Numbers and booleans survive the way to Arrow, NULL where they are absent."""
    values = np.arange(count, dtype=np.int64)
    array = buffers.arrow(values, absent=values % 3 == 0)
    assert array.to_pylist() == [None if value % 3 == 0 else value for value in range(count)]
    assert buffers.flags(values % 3 == 0).to_pylist() == [value % 3 == 0 for value in range(count)]


def test_lengths() -> None:
    """NULL lists have no elements, even where their bytes still lie in the array."""
    values, places = pa.array([1, 2, 3, 4]), pa.array([0, 2, 3, 4], pa.int32())
    lists = pa.ListArray.from_arrays(places, values, mask=pa.array([False, True, False]))
    assert buffers.lengths(lists).tolist() == [2, 0, 1]
    assert buffers.lengths(lists.slice(1)).tolist() == [0, 1]
    assert buffers.lengths(pa.array([], pa.list_(pa.int64()))).dtype == np.int64
