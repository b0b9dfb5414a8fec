"""Records of the spool to the Arrow tables of their signals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from collector.decode.in_two import InTwo
from collector.decode.logs import decode_logs, decode_shredded_logs
from collector.decode.metrics import decode_metrics
from collector.decode.paths import count_paths
from collector.decode.shredded import Unlike, align
from collector.decode.span_keys import Keys, span_keys
from collector.decode.traces import decode_shredded_traces, decode_traces
from collector.signals import Signal
from collector.wal.segment import DamagedRecord, Record

# ptars holds the GIL for a whole call: 2 MiB are about 6,700 spans and 9 ms in which no other thread runs. A
# call costs 2 ms whatever it holds; CPU a span: 3.5 µs at 0.7 MiB, 3.1 at 1, 2.8 at 2, 2.7 at 4 MiB.
DECODE_BYTES_MAX = 2 * 1024 * 1024
# Signals that hot files hold. Points of metrics have five forms, and lists of buckets and exemplars.
_SHREDDED: Mapping[Signal, Callable[[list[bytes]], InTwo]] = {
    Signal.TRACES: decode_shredded_traces,
    Signal.LOGS: decode_shredded_logs,
}
SHREDDABLE = frozenset(_SHREDDED)


class Decoded(NamedTuple):
    """Rows of one form, ready for an INSERT."""

    table: pa.Table  # of one chunk
    keys: Keys | None = None  # keys of the spans, which their retries share
    paths: Mapping[str, int] = {}  # how many values have each path of attributes: `paths.py`
    is_shredded: bool = False  # for a hot file, where any path has its place: no INSERT can take these


def decode_records(
    records: Sequence[Record | DamagedRecord],
    decode_bytes_max: int = DECODE_BYTES_MAX,
    *,
    shred: Collection[Signal] = (),
) -> dict[Signal, list[Decoded]]:
    """The rows of each signal, as few large tables, since every insert has a fixed cost.

    Args:
        decode_bytes_max: payload bytes in one call of the parser.
        shred: the signals whose rows are for hot files, as far as `shredded.py` takes them.

    Raises:
        ValueError: one of the records is damaged, of no known signal, or no valid protobuf.
    """
    tables: dict[Signal, list[pa.Table]] = {}
    shredded: dict[Signal, list[pa.Table]] = {}
    for signal, payloads in _chunks(records, decode_bytes_max):
        if signal in shred:
            rows = _SHREDDED[signal](payloads)
            shredded.setdefault(signal, []).append(rows.shredded)
            tables.setdefault(signal, []).extend([rows.others] if rows.others is not None else [])
        else:
            tables.setdefault(signal, []).extend(_decode(signal, payloads))
    decoded = {
        signal: [Decoded(table, _keys(signal, table), count_paths(table)) for table in _joined(parts)]
        for signal, parts in tables.items()
    }
    for signal, parts in shredded.items():
        for table in _aligned(parts):
            decoded[signal].insert(0, Decoded(table, _keys(signal, table), is_shredded=True))
    return decoded


def payload_bytes(records: Sequence[Record | DamagedRecord], signal: Signal | None = None) -> int:
    """Payload bytes of these records, or of those of one signal."""
    return sum(
        len(record.payload)
        for record in records
        if isinstance(record, Record) and signal in (None, record.signal)
    )


def _keys(signal: Signal, table: pa.Table) -> Keys | None:
    return span_keys(table) if signal is Signal.TRACES else None


def _chunks(
    records: Sequence[Record | DamagedRecord], bytes_max: int
) -> Iterator[tuple[Signal, list[bytes]]]:
    """Groups neighbouring records of one signal, up to the size of one decode call."""
    size_bytes = 0
    chunk_number = 0

    def chunk_of(record: Record | DamagedRecord) -> tuple[Signal, int]:
        nonlocal size_bytes, chunk_number
        if isinstance(record, DamagedRecord):
            raise ValueError(f"{record.size_bytes} bytes of the spool are damaged")
        size_bytes += len(record.payload)
        if size_bytes > bytes_max:
            size_bytes, chunk_number = len(record.payload), chunk_number + 1
        return Signal(record.signal), chunk_number

    by_signal = sorted(records, key=lambda record: getattr(record, "signal", 0))
    for (signal, _), group in groupby(by_signal, key=chunk_of):
        yield signal, [record.payload for record in group if isinstance(record, Record)]


def _decode(signal: Signal, payloads: list[bytes]) -> list[pa.Table]:
    match signal:
        case Signal.TRACES:
            return [decode_traces(payloads)]
        case Signal.LOGS:
            return [decode_logs(payloads)]
        case Signal.METRICS:
            return decode_metrics(payloads)


def _aligned(tables: list[pa.Table]) -> list[pa.Table]:
    """Shredded tables as one, or as they are where their keys are too many together."""
    filled = [table for table in tables if len(table)]
    try:
        return [pa.concat_tables(align(filled)).combine_chunks()] if filled else []
    except Unlike:
        return filled


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """Tables of equal columns as one; metrics have one form for each kind.

    One chunk makes DuckDB insert in one thread. With several chunks each thread gathers its own rows, which
    are then copied together. CPU a span of the insert: 5.4 µs in chunks, 5.0 in one; joining costs 0.1.
    """
    by_form: dict[tuple[str, ...], list[pa.Table]] = {}
    for table in tables:
        by_form.setdefault(tuple(table.column_names), []).append(table)
    return [pa.concat_tables(group).combine_chunks() for group in by_form.values()]
