"""Children are counted by parent and called operation, and the first call of each stands for all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.stream.span_join import Kin, calls

PAIR = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 50))  # parent, operation, start


def kin_of(pairs: list[tuple[int, int, int]]) -> Kin:
    parent, child, start = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    zeros = np.zeros(len(pairs), dtype=np.int64)
    source = pa.table(
        {
            "trace_id": ["t"] * len(pairs),
            "span_id": [str(number) for number in range(len(pairs))],
            "start_unix_nano": start,
            "duration_ns": zeros + 5,
        }
    )
    hashes = parent.astype(np.uint64) * np.uint64(0x1234567890ABCDEF)
    return Kin(hashes, parent, zeros, child, zeros, start, zeros + 5, source, np.arange(len(pairs)))


@settings(deadline=None)  # a loaded machine
@given(st.lists(PAIR, min_size=1, max_size=60))
def test_calls_are_counted_by_parent_and_operation(pairs):
    """One row for each parent and operation, however often called, and it is the earliest call."""
    firsts, counts = calls(kin_of(pairs))
    expected: dict[tuple[int, int], list[int]] = {}
    for parent, child, start in pairs:
        expected.setdefault((parent, child), []).append(start)
    found = {
        (parent, child): (count, start)
        for parent, child, count, start in zip(
            firsts.parent_code.tolist(), firsts.child_code.tolist(), counts.tolist(),
            firsts.start_unix_nano.tolist(), strict=True,
        )
    }  # fmt: skip
    assert found == {key: (len(starts), min(starts)) for key, starts in expected.items()}
    assert len(firsts.place) == len(expected)


@settings(deadline=None)  # a loaded machine
@given(st.lists(PAIR, min_size=1, max_size=20))
def test_rows_follow_their_children(pairs):
    """The taken part of a family shows the ids of exactly those children, with or without the source."""
    firsts, _ = calls(kin_of(pairs))
    ids = firsts.rows()["span_id"].to_pylist()
    assert ids == [str(place) for place in firsts.place.tolist()]
    assert firsts.apart().rows()["span_id"].to_pylist() == ids
    assert firsts.apart().source.num_rows == len(ids)
    assert firsts.ends().tolist() == [start + 5 for start in firsts.start_unix_nano.tolist()]
