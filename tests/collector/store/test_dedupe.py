from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.store.dedupe import RecentKeys


@given(st.lists(st.lists(st.integers(0, 50), max_size=10), max_size=20))
def test_contains_what_was_added(batches: list[list[int]]) -> None:
    """Within the window, a key is found exactly when it was added."""
    recent = RecentKeys(window_spans=10_000)
    seen: set[int] = set()
    for batch in batches:
        keys = np.array(batch, dtype=np.uint64)
        assert recent.contains(keys).tolist() == [key in seen for key in batch]
        recent.add(keys)
        seen.update(batch)


def test_old_keys_are_forgotten() -> None:
    """Memory is bounded: keys older than the window go, the newest half of it always stays."""
    recent = RecentKeys(window_spans=100)
    for start in range(0, 1000, 10):
        recent.add(np.arange(start, start + 10, dtype=np.uint64))
    found = recent.contains(np.arange(1000, dtype=np.uint64))
    assert not found[:900].any()
    assert found[950:].all()
    assert len(recent) <= 110
