"""Reads for detection: the position of landing, the spans of some batches, their logs and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from collector.store.prices import read_prices
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.persist import read_position
from detectors.orders.amount_columns import SCHEMA, amounts_of, read_calls, spans_query
from detectors.settings import Settings
from detectors.stream.batch_ranges import chunks
from detectors.stream.set_aside import SetAside

_QUERIES = "detectors.pipeline.queries"
SPANS_READER = "detect"
SIGNALS_READER = "signals"  # logs and metrics
Position = dict[str, int | None]


class Landed(Protocol):
    """The source of spans: the store of a server (`StoredSpans`), or a folder that is replayed."""

    def position(self, upto: int) -> Position:
        """The columns of `queries/newest_landed.sql`; of `signals_landed.sql` too where `upto` is newer."""

    def spans(self, after: int, upto: int, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """The spans of the batches in (after, upto], and the amounts among those with one of these names.

        Returns:
            (columns of `stream/queries/new_spans.sql`, rows of `amount_columns.SCHEMA`).
        """

    def calls(self, after: int, upto: int, names: Sequence[str]) -> pa.Table:
        """Tokens and cost of calls to language models among the spans with one of these names: rows of
        `amount_columns.SCHEMA`."""

    def lines(self, after: int, upto: int) -> pa.Table:
        """Log lines of those batches: columns of `queries/new_logs.sql`."""

    def points(self, after: int, upto: int) -> pa.Table:
        """Metric points of those batches: columns of `queries/new_metrics.sql`."""


class StoredSpans:
    """Reads spans of the store as they land."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def position(self, upto: int) -> Position:
        landed: Position = self._store.read(load_sql(_QUERIES, "newest_landed")).to_pylist()[0]
        if (landed["batch_id"] or 0) < upto:
            landed |= self._store.read(load_sql(_QUERIES, "signals_landed")).to_pylist()[0]
        return landed

    def spans(self, after: int, upto: int, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        return apart(self.read(after, upto, names))

    def calls(self, after: int, upto: int, names: Sequence[str]) -> pa.Table:
        return read_calls(self._store.read, after, upto, names, read_prices(self._store))

    def lines(self, after: int, upto: int) -> pa.Table:
        return self._store.read(load_sql(_QUERIES, "new_logs"), {"after": after, "upto": upto})

    def points(self, after: int, upto: int) -> pa.Table:
        return self._store.read(load_sql(_QUERIES, "new_metrics"), {"after": after, "upto": upto})

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


class Reading(NamedTuple):
    """The ranges of a pass, and the positions once it is stored."""

    spans: pa.Table
    amounts: pa.Table
    upto: int
    signals_upto: int
    landed: Position


class Reader:
    """Reads in order; its positions move when a pass calls `passed`. Not thread-safe."""

    def __init__(
        self, store: Store, settings: Settings, set_aside: SetAside, landed: Landed | None = None
    ) -> None:
        """`landed`: where spans come from, when not from the store."""
        self._store = store
        self._settings = settings
        self._set_aside = set_aside
        self._source = landed or StoredSpans(store)
        self.position = read_position(store, SPANS_READER)
        # A folder of an older Spyhop has logs and metrics that were never judged; they are skipped.
        self.signal_position = read_position(store, SIGNALS_READER) or _newest(self._source.position(0))
        self._landed: Position = {}  # as of the last pass
        self._judged_total = 0  # about how many of all landed spans have been judged; 0: unknown
        self._ahead: Position | None = None  # what `ranges` saw, for the pass after it
        self._promised = (-1, 0)  # the same once the batches up to here are judged

    def ranges(self, upto: int) -> list[tuple[int, int]]:
        """The batches that are to be judged, as ranges of a size that one pass may take."""
        self._ahead = self._source.position(upto)
        total = self._ahead["span_count"] or 0
        fresh = total - self._judged_total
        self._promised = (upto, total)
        if self._judged_total and 0 < fresh <= self._settings.detect_chunk_spans and self.position < upto:
            return [(self.position, upto)]  # as nearly always; counting them by batch costs 2 ms more
        return chunks(self._store, self.position, upto, self._settings)

    def read(self, after: int, upto: int, names: Sequence[str], callers: Sequence[str] = ()) -> Reading:
        """The batches in (after, upto].

        Args:
            names: of spans whose amounts of orders and transfers are read.
            callers: of those whose tokens and cost are.
        """
        spans, amounts = self._source.spans(after, upto, names)
        if callers:  # a second read, but of these spans alone; without any it costs nothing
            amounts = pa.concat_tables([amounts, self._source.calls(after, upto, callers)])
        landed, self._ahead = self._ahead or self._source.position(upto), None
        return Reading(spans, amounts, upto, max(_newest(landed), upto), landed)

    def signals(self, reading: Reading, take: Callable[[pa.Table | None, pa.Table | None], None]) -> None:
        """Pass on log lines and metric points; None where there are no new ones.

        None of them can stop the spans: a batch that cannot be taken is set aside.
        """
        lines = self._has_new(reading.landed, "logs_batch_id", "log_count")
        points = self._has_new(reading.landed, "metrics_batch_id", "metric_point_count")

        def read_and_take(after: int, upto: int) -> None:
            take(
                self._source.lines(after, upto) if lines else None,
                self._source.points(after, upto) if points else None,
            )

        self._set_aside.read(
            SIGNALS_READER,
            (self.signal_position, reading.signals_upto),
            read_and_take,
            self._batches_of_signals,
            lambda _: None,
            tries=1,
        )

    def passed(self, reading: Reading) -> None:
        """Note that the rows that were read have been judged."""
        self.position, self.signal_position = reading.upto, reading.signals_upto
        self._landed = reading.landed
        if reading.upto == self._promised[0]:
            self._judged_total = self._promised[1]

    def positions(self) -> dict[str, int]:
        """As they are stored."""
        return {SPANS_READER: self.position, SIGNALS_READER: self.signal_position}

    def _batches_of_signals(self, after: int, upto: int) -> list[int]:
        rows = self._store.read(load_sql(_QUERIES, "batches_of_signals"), {"after": after, "upto": upto})
        return [int(batch_id) for batch_id in rows["batch_id"].to_pylist()]

    def _has_new(self, landed: Position, newest: str, total: str) -> bool:
        """Whether rows of a signal have landed since its position, recent ones or such as are sealed."""
        return (landed.get(newest) or 0) > self.signal_position or landed[total] != self._landed.get(total)


def _newest(landed: Position) -> int:
    """The newest landed batch of any signal."""
    return int(landed["batch_id"] or 0)
