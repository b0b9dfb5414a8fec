"""Analyses the time of traces: the one source of self time, message waits, edges and critical paths.

Learning, localisation, the trace view and explanations all call it. So each figure is compared with a
baseline of the same figure. Columnar: in a table of many traces a span costs as much as in one trace.

- Self time: a span's duration without the union of the spans below it, and without the time that a message
  below it waits in a queue (`detectors.trace.self_time`, `detectors.trace.edges.under_way`).
- Message wait: from the end of the producer to the start of the consumer. The consumer's first link names its
  producer; without a link, the parent is the producer, if its kind is PRODUCER.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.clocks import aligned_starts, is_message
from detectors.trace.critical_path import critical_path
from detectors.trace.edges import Edges, find_edges, under_way
from detectors.trace.self_time import NO_PARENT, PARENT_COLUMNS, parent_index, self_time_ns


class MessageWaits(NamedTuple):
    """Aligned rows of producers and consumers, and how long the message between them waited, in ns."""

    producer: IntArray
    consumer: IntArray
    wait_ns: IntArray


class Analysis(NamedTuple):
    """Results for some spans; arrays aligned with them, times in ns."""

    parent: IntArray  # as from `parent_index`
    start: IntArray
    duration: IntArray
    edges: Edges
    self_time_ns: IntArray
    message: BoolArray  # whether a span publishes

    def aligned_starts(self) -> IntArray:
        """When each span began on one clock (`detectors.trace.clocks`)."""
        return aligned_starts(self.parent, self.edges, self.start, self.duration, self.message)

    def critical_path(self, root: int) -> list[int]:
        """The spans on the critical path below `root`, in the order in which they start."""
        return critical_path(self.parent, self.aligned_starts(), self.duration, root)


def analyse_trace(spans: pa.Table, parent: IntArray | None = None) -> Analysis:
    """The analysis of one trace or of many.

    Args:
        spans: columns `service_name, span_kind, start_unix_nano, duration_ns`; without `parent` also
            `trace_id, span_id, parent_span_id`.
        parent: of each span, as in `Tree.parent`.
    """
    if parent is None:
        parent = parent_index(*(spans[name] for name in PARENT_COLUMNS))
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    return analyse_times(parent, _numbers(spans["service_name"]), spans["span_kind"], start, duration)


def analyse_times(
    parent: IntArray, service: IntArray, kind: pa.ChunkedArray, start: IntArray, duration: IntArray
) -> Analysis:
    """The same for columns; `service` is a number for each span's service."""
    edges = find_edges(parent, service, kind, start, duration)
    self_time = self_time_ns(parent, start, duration, under_way(edges, start, duration))
    return Analysis(parent, start, duration, edges, self_time, is_message(kind))


def message_wait_ns(consumer_start: IntArray, producer_end: IntArray) -> IntArray:
    """How long messages waited. A negative wait, from two clocks that differ, counts as 0."""
    wait_ns: IntArray = np.maximum(consumer_start - producer_end, 0)
    return wait_ns


def message_waits(spans: pa.Table, parent: IntArray) -> MessageWaits:
    """The messages among some spans.

    Args:
        spans: as for `analyse_trace`, with `linked_trace_id, linked_span_id`: the first link of each span.
        parent: of each span.
    """
    kind = spans["span_kind"]
    own = pc.binary_join_element_wise(spans["trace_id"], spans["span_id"], ":")
    named = pc.binary_join_element_wise(spans["linked_trace_id"], spans["linked_span_id"], ":")
    linked = pc.fill_null(pc.index_in(named, value_set=own), NO_PARENT).to_numpy()
    names_one = spans["linked_span_id"].is_valid().to_numpy(zero_copy_only=False)
    producer = np.where(names_one, linked, parent)
    takes = pc.equal(kind, "CONSUMER").to_numpy(zero_copy_only=False)
    sends = pc.equal(kind, "PRODUCER").to_numpy(zero_copy_only=False)
    consumer = np.flatnonzero(takes & (producer != NO_PARENT) & sends[np.maximum(producer, 0)])
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    sender = producer[consumer]
    end = start[sender] + np.maximum(duration[sender], 0)
    return MessageWaits(sender, consumer, message_wait_ns(start[consumer], end))


def _numbers(names: pa.ChunkedArray) -> IntArray:
    encoded = names.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # an empty column stays chunked
        encoded = pa.concat_arrays(encoded.chunks)
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
