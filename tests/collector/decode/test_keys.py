from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import keys as module
from collector.decode.keys import choose

Rows = list[list[str]]
# Few distinct keys, so that sequences come again, some turned round and some with a key twice.
rows_of_keys = st.lists(st.lists(st.sampled_from(["a", "b", "ä", "http.route", ""]), max_size=5), max_size=30)


@pytest.mark.parametrize("rows_per_sequence_min", [1, 10**9], ids=["by sequence", "row by row"])
@settings(deadline=None)  # the first call compiles and imports
@given(rows=rows_of_keys)
def test_keeps_the_last_of_equal_keys(rows_per_sequence_min: int, rows: Rows) -> None:
    """Each row's items come sorted by key, only the last of equal keys among them, whatever others hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS_PER_SEQUENCE_MIN", rows_per_sequence_min)
        rows = [*rows, ["a"]]  # the caller sees to it that there is an item
        chosen = choose(_flat(rows), np.array([len(row) for row in rows], dtype=np.int64))
    first = 0
    expected = []
    for row in rows:
        last = {key: first + place for place, key in enumerate(row)}
        expected.append([last[key] for key in sorted(last, key=str.encode)])
        first += len(row)
    assert chosen.items.tolist() == [item for row in expected for item in row]
    assert chosen.counts.tolist() == [len(row) for row in expected]


@settings(deadline=None)  # the first call compiles and imports
@given(rows=rows_of_keys)
def test_both_ways_write_the_same_dictionaries(rows: Rows) -> None:
    """A dictionary of keys has the same bytes whether it was made for many rows or for one."""
    sizes = np.array([len(row) for row in [*rows, ["a"]]], dtype=np.int64)
    keys = _flat([*rows, ["a"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS_PER_SEQUENCE_MIN", 1)
        by_sequence = choose(keys, sizes)
        patch.setattr(module, "_ROWS_PER_SEQUENCE_MIN", 10**9)
        row_by_row = choose(keys, sizes)
    assert by_sequence.metadata.to_pylist() == row_by_row.metadata.to_pylist()


def _flat(rows: Rows) -> pa.BinaryArray:
    return pa.array([key.encode() for row in rows for key in row], pa.binary())
