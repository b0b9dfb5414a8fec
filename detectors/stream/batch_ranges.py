"""Cuts landed batches into ranges of a size for one pass."""

from __future__ import annotations

import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.settings import Settings

_QUERIES = "detectors.stream.queries"


def chunks(store: Store, after: int, upto: int, settings: Settings) -> list[tuple[int, int]]:
    """The batches in (after, upto] as ranges of at most `detect_chunk_spans` spans, one batch at least."""
    if upto <= after:
        return []
    batches = span_batches(store, after, upto)
    ranges: list[tuple[int, int]] = []
    begin, last, size = after, after, 0
    for batch_id, count in zip(
        batches["batch_id"].to_pylist(), batches["span_count"].to_pylist(), strict=True
    ):
        if size and size + count > settings.detect_chunk_spans:
            ranges.append((begin, last))
            begin, size = last, 0
        last, size = batch_id, size + count
    return [*ranges, (begin, upto)]


def span_batches(store: Store, after: int, upto: int) -> pa.Table:
    """`batch_id` and `span_count` of the batches in (after, upto] that hold spans."""
    return store.read(load_sql(_QUERIES, "landed_batches"), {"after": after, "upto": upto})


def batch_ids(rows: pa.Table) -> list[int]:
    """The column `batch_id`."""
    ids: list[int] = rows["batch_id"].to_pylist()
    return ids
