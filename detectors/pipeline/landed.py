"""What detection reads of the store: how far landing has come, and the spans of some batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.orders.amount_columns import SCHEMA, amounts_of, spans_query

_QUERIES = "detectors.pipeline.queries"
Position = dict[str, int | None]


class Landed(Protocol):
    """Where the spans come from: the store of a server (`StoredSpans`), or a folder that is replayed."""

    def position(self, upto: int) -> Position:
        """The columns of `queries/newest_landed.sql`; of `signals_landed.sql` too where `upto` is newer."""

    def spans(self, after: int, upto: int, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """The spans of the batches in (after, upto], and the amounts among those with one of these names.

        Returns:
            (columns of `stream/queries/new_spans.sql`, rows of `amount_columns.SCHEMA`).
        """


class StoredSpans:
    """Reads them as they land."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def position(self, upto: int) -> Position:
        landed: Position = self._store.read(load_sql(_QUERIES, "newest_landed")).to_pylist()[0]
        if (landed["batch_id"] or 0) < upto:
            landed |= self._store.read(load_sql(_QUERIES, "signals_landed")).to_pylist()[0]
        return landed

    def spans(self, after: int, upto: int, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        return apart(self.read(after, upto, names))

    def read(self, after: int, upto: int, names: Sequence[str]) -> pa.Table:
        """Both in one table, for `apart`."""
        bounds = {"after": after, "upto": upto}
        if not names:
            return self._store.read(spans_query(with_amounts=False), bounds)
        return self._store.read(spans_query(with_amounts=True), {**bounds, "names": list(names)})


def apart(spans: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(columns of `stream/queries/new_spans.sql`, rows of `amount_columns.SCHEMA`) of `StoredSpans.read`."""
    end_of_usual = spans.schema.get_field_index("service_name")
    if end_of_usual < 0:
        return spans, SCHEMA.empty_table()
    return spans.select(spans.schema.names[:end_of_usual]), amounts_of(spans)
