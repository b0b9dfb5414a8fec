from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline.sketch_index import DELTA_SCHEMA, DURATION, SeriesKey, SketchBook
from detectors.stats.seasonality import OPERATION_CELL

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.integers(0, 3),
        st.booleans(),
        st.integers(-2, 6),
        st.integers(1, 9),
    ),
    max_size=40,
)
CELLS = ("hour_of_week:000", "hour_of_week:002", "hour_of_day:01", OPERATION_CELL)


def deltas(rows: list[tuple[str, int, bool, int, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "measure": DURATION, "service_name": "shop", "operation": operation, "span_kind": "SERVER",
                "facet": "", "hour_of_week": hour, "flagged": flagged,
                "bucket": bucket, "sample_count": count,
            }
            for operation, hour, flagged, bucket, count in rows
        ],
        schema=DELTA_SCHEMA,
    )  # fmt: skip


def contents(book: SketchBook) -> dict[tuple[str, str], tuple[list[int], list[int], int, int]]:
    found = {}
    for operation in ("buy", "sell"):
        key = SeriesKey(DURATION, "shop", operation, "SERVER")
        for cell in CELLS:
            sketch = book.sketch(key, cell)
            counts = book.sample_count(key, cell), book.flagged_count(key, cell)
            found[operation, cell] = (sketch.buckets.tolist(), sketch.counts.tolist(), *counts)
            assert sketch.sample_count == counts[0]
    return found


@given(ROWS, st.integers(1, 7), st.randoms(use_true_random=False))
def test_parts_and_order_make_no_difference(rows, size, random):
    """Rows added at once, and shuffled in parts of any size, make the same book."""
    whole = SketchBook()
    whole.add(deltas(rows))
    shuffled = random.sample(rows, len(rows))
    parts = SketchBook()
    for begin in range(0, len(shuffled), size):
        parts.add(deltas(shuffled[begin : begin + size]))
        parts.sketch(SeriesKey(DURATION, "shop", "buy", "SERVER"))  # a look in between changes nothing
    assert contents(parts) == contents(whole)


def test_many_additions_stay_few_parts():
    """A series that is learned again and again and never read keeps its samples."""
    book = SketchBook()
    for _ in range(200):
        touched = book.add(deltas([("buy", 1, False, 3, 2), ("buy", 1, True, 3, 1)]))
    key = SeriesKey(DURATION, "shop", "buy", "SERVER")
    assert touched == {key}
    assert (book.sample_count(key), book.flagged_count(key)) == (400, 200)
    assert book.sketch(key, "hour_of_week:001").counts.tolist() == [400]
    assert book.hours(key) == [1]
