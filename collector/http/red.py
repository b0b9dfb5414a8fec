"""Rate, errors and duration of each operation for Prometheus, under the names of Tempo's span metrics.

Counted from the start of the server, from landed batches, when somebody asks: a scrape reads what landed
since the last one. The number of operations is bounded; what is beyond is one operation of its service.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily

from collector.store.sqlfile import load_sql
from collector.store.store import Store

CALLS, LATENCY = "traces_spanmetrics_calls", "traces_spanmetrics_latency"
OTHER = "other operations"
LABELS = ("service", "span_name", "span_kind", "status_code")
# Upper ends in seconds, those of Tempo: 2 ms, doubled up to 16.384 s.
BOUNDS_S = tuple(0.002 * 2**i for i in range(14))
_LABEL_CHARS_MAX = 256


class _Key(NamedTuple):
    service: str
    span_name: str
    span_kind: str
    status_code: str


@dataclass(slots=True)
class _Count:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    exemplars: list[tuple[str, float, float] | None] = field(
        default_factory=lambda: [None] * (len(BOUNDS_S) + 1)
    )  # trace id, seconds, when, of the newest span of each bucket
    sum_s: float = 0.0


class Red:
    """Thread-safe."""

    def __init__(self, store: Store, operations_max: int) -> None:
        """
        Args:
            operations_max: operations (service, name, kind) that are counted apart; 0: nothing is counted.
        """
        self._store = store
        self._operations_max = operations_max
        self._guard = threading.Lock()
        self._batch_id = store.newest_traces_batch_id
        self._counts: dict[_Key, _Count] = {}
        self._operations: set[tuple[str, str, str]] = set()
        self._overflow_count = 0

    def families(self) -> Iterator[Metric]:
        if not self._operations_max:
            return
        with self._guard:
            self._read_new()
            calls = CounterMetricFamily(CALLS, "Spans by operation and status.", labels=LABELS)
            latency = HistogramMetricFamily(LATENCY, "Durations of spans in seconds.", labels=LABELS)
            for key, count in self._counts.items():
                calls.add_metric(key, sum(count.buckets))
                latency.add_metric(key, list(_cumulative(count)), count.sum_s)
            beyond = GaugeMetricFamily(
                "spyhop_red_other_spans",
                f"Spans that were counted as {OTHER!r}, since the limit of operations was reached.",
                value=self._overflow_count,
            )
        yield from (calls, latency, beyond)

    def _read_new(self) -> None:
        newest = self._store.newest_traces_batch_id
        if newest <= self._batch_id:
            return
        params = {"after": self._batch_id, "until": newest, "last_bucket": len(BOUNDS_S)}
        for row in self._store.read(load_sql("collector.http.queries", "red"), params).to_pylist():
            key = self._key_of(row)
            if key.span_name == OTHER:
                self._overflow_count += row["span_count"]
            count = self._counts.setdefault(key, _Count())
            bucket = row["bucket"]
            count.buckets[bucket] += row["span_count"]
            count.sum_s += row["sum_s"]
            count.exemplars[bucket] = (row["trace_id"], row["exemplar_s"], row["exemplar_at_s"])
        self._batch_id = newest

    def _key_of(self, row: dict[str, str]) -> _Key:
        service = row["service_name"][:_LABEL_CHARS_MAX]
        name = row["span_name"][:_LABEL_CHARS_MAX]
        kind = f"SPAN_KIND_{row['span_kind']}"
        operation = (service, name, kind)
        if operation not in self._operations:
            if len(self._operations) >= self._operations_max:
                # Services are few; where they are many, the further ones are counted as one.
                known = {one for one, _, _ in self._operations}
                service, name = service if service in known else "other services", OTHER
            else:
                self._operations.add(operation)
        return _Key(service, name, kind, f"STATUS_CODE_{row['status_code']}")


def _cumulative(count: _Count) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
    total = 0
    for bound, number, exemplar in zip(
        (*map(_number, BOUNDS_S), "+Inf"), count.buckets, count.exemplars, strict=True
    ):
        total += number
        if exemplar is None:
            yield bound, total
        else:
            trace_id, seconds, at_s = exemplar
            yield bound, total, Exemplar({"trace_id": trace_id}, seconds, at_s)


def _number(bound: float) -> str:
    return f"{bound:.3f}".rstrip("0")
