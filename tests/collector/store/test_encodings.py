"""Which columns of a file have a dictionary."""

from __future__ import annotations

import pyarrow as pa

from collector.store.encodings import DICTIONARY, encodings_of

ROWS = 10_000


def test_columns_are_encoded_as_their_values_suggest() -> None:
    """A column whose values repeat keeps its dictionary, also inside a Variant; numbers and texts that do not
    repeat have none, and a number's steps are stored where it is whole."""
    attributes = pa.StructArray.from_arrays(
        [
            pa.array([f"/route/{n % 40}" for n in range(ROWS)]),
            pa.array([n * 0.37 for n in range(ROWS)]),
            pa.array([n % 3 * 0.5 for n in range(ROWS)]),
            pa.array([n * 7 for n in range(ROWS)]),
            pa.array([f"request {n}" for n in range(ROWS)]),
            pa.array([n % 2 == 0 for n in range(ROWS)]),
            pa.nulls(ROWS, pa.string()),
        ],
        names=["route", "amount", "level", "size", "request", "yes", "absent"],
    )
    rows = pa.table(
        {
            "trace_id": [f"{n:032x}" for n in range(ROWS)],
            "span_id": [f"{n // 100:016x}" for n in range(ROWS)],
            "start_time": pa.array(range(ROWS), pa.timestamp("ns")),
            "attributes": attributes,
        }
    )
    assert encodings_of(rows) == {
        "trace_id": DICTIONARY,
        "span_id": "PLAIN",
        "start_time": "DELTA_BINARY_PACKED",
        "attributes.route": DICTIONARY,
        "attributes.amount": "PLAIN",
        "attributes.level": DICTIONARY,
        "attributes.size": "DELTA_BINARY_PACKED",
        "attributes.request": "PLAIN",
        "attributes.yes": DICTIONARY,
        "attributes.absent": DICTIONARY,
    }


def test_no_rows() -> None:
    """A file without rows is written too: its columns have what is stated."""
    empty = pa.table({"span_id": pa.array([], pa.string()), "name": pa.array([], pa.string())})
    assert encodings_of(empty) == {"span_id": "PLAIN", "name": DICTIONARY}
