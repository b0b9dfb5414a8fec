"""All detectors that follow operations over time: one step of the ring after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.logs.template_rate import LogWatch
from detectors.metrics.metric import MetricWatch
from detectors.model.anomaly import Anomaly
from detectors.orders.limit_price import PriceWatch
from detectors.orders.market import MarketWatch
from detectors.orders.wash_trade import WashWatch
from detectors.pipeline.memory_store import Memory, load_memory, memory_saved, save_memory
from detectors.pipeline.window_store import Learning, load_windows, save_windows, saved
from detectors.settings import Settings
from detectors.spans.call_structure import StructureWatch
from detectors.spans.client_error_rate import RefusalWatch
from detectors.spans.error_rate import ErrorWatch
from detectors.spans.message_wait import GapWatch
from detectors.spans.throughput import ThroughputWatch
from detectors.stream.batch import OperationKey, Operations, batches
from detectors.stream.event_time import Ring
from detectors.stream.span_groups import SpanGroups

_QUERIES = "detectors.pipeline.queries"
_SAVE_EVERY_S = 10.0
_SAVE_MEMORY_EVERY_S = 60.0  # 800 bytes for each series of metrics
_REACH_NS = 60_000_000_000  # a line lies this near to the start of its span


class Windows:
    """Not thread-safe; detection owns it. Memory, begun from what former runs have learned."""

    def __init__(self, store: Store, baselines: Baselines, settings: Settings, now_s: float) -> None:
        self._store = store
        self._ring = Ring()
        self.operations = Operations()
        self._errors = ErrorWatch(settings)
        self._refusals = RefusalWatch(settings)
        self._structure = StructureWatch(settings, self._find_childless)
        self._throughput = ThroughputWatch(settings)
        self._learning = Learning(
            self.operations, self._errors, self._refusals, self._structure, self._throughput
        )
        self.gaps = GapWatch(baselines, settings)
        self.market = MarketWatch(settings)
        self._prices = PriceWatch(settings)
        self._wash = WashWatch(settings)
        self._logs = LogWatch(settings, self._find_spans, self._throughput.newest_of_service)
        self._metrics = MetricWatch(settings, self._span_of)
        self._memory = Memory(self._logs, self._metrics, self.market, self._prices, self._wash)
        load_windows(store, self._learning)
        load_memory(store, self._memory)
        self._saved_s = self._memory_saved_s = now_s
        self._held: list[int] = []

    def hold(self, operations: Iterable[OperationKey]) -> None:
        """These are in an incident: until it ends nothing is learned of how often they fail, refuse and call.

        How often they are called is learned all the same: that is the load, and may have changed for good.
        """
        codes = {self.operations.code(operation) for operation in operations}
        self._held = sorted(code for code in codes if 0 <= code < self._errors.rates.count)

    def observe(
        self, spans: pa.Table, now_s: float, groups: SpanGroups | None = None
    ) -> tuple[list[Anomaly], list[Anomaly]]:
        """(new anomalies, known ones that have become worse) of what landed.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            groups: of these spans, where the caller has them.
        """
        new: list[Anomaly] = []
        raised: list[Anomaly] = []
        for batch in batches(spans, self.operations, self._ring, groups):
            new += self._errors.observe(batch, self._held)
            new += self._refusals.observe(batch, self._held)
            new += self._structure.observe(batch, self._held)
            new += self._throughput.observe(batch)
            waited, worse = self.gaps.observe(batch, now_s)
            new += waited
            raised += worse
            self._logs.advance(batch)
        return new, raised

    def observe_orders(self, amounts: pa.Table) -> list[Anomaly]:
        """Anomalies of the market; columns of `orders/queries/new_amounts.sql`."""
        head = self._ring.head or 0
        orders = amounts.filter(pc.equal(amounts["amount_kind"], "order"))
        orders = orders.filter(pc.greater(pc.add(orders["limit_price"], orders["fill_price"]), 0))
        found = self.market.observe(orders, head)
        if orders.num_rows:
            found += self._prices.observe(orders)
            found += self._wash.observe(orders, head)
        return found

    def observe_signals(
        self, after: int, upto: int, *, lines: bool = True, points: bool = True
    ) -> list[Anomaly]:
        """Anomalies of logs and metrics that landed in the batches (after, upto].

        Args:
            lines, points: whether there are any; to look costs 5 ms.
        """
        bounds = {"after": after, "upto": upto}
        found: list[Anomaly] = []
        if lines:
            found += self._logs.observe(self._store.read(load_sql(_QUERIES, "new_logs"), bounds))
        if points:
            found += self._metrics.observe(self._store.read(load_sql(_QUERIES, "new_metrics"), bounds))
        return found

    def growing(self) -> set[str]:
        """The cells of resources that grow without end."""
        return self._metrics.growing()

    def usual_errors(self, operation: OperationKey) -> float | None:
        """The share of failed calls that is usual; None while it is learned."""
        code, rates = self.operations.code(operation), self._errors.rates
        if not 0 <= code < rates.count or rates.past_trials[code] < rates.rule.min_trials:
            return None
        return float(rates.usual(np.array([code]))[0])

    def adopt_errors(self, operation: OperationKey, calls: int, failed: int) -> None:
        """From now on so many failed of so many calls are usual."""
        code = self.operations.code(operation)
        if code >= 0:
            self._errors.adopt(code, calls, failed)

    def save_due(self, now_s: float, now_unix_nano: int) -> int:
        """Store what was learned, every ten seconds, of signals every minute; returns how many rows."""
        if now_s - self._saved_s < _SAVE_EVERY_S:
            return 0
        self._saved_s = now_s
        with self._store.transaction() as con:
            count = save_windows(con, self._learning, now_unix_nano)
            if remembering := now_s - self._memory_saved_s >= _SAVE_MEMORY_EVERY_S:
                count += save_memory(con, self._memory, now_unix_nano)
        saved(self._learning)
        if remembering:
            memory_saved(self._memory)
            self._memory_saved_s = now_s
        return count

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(RuntimeError):  # read by another thread while it grows
            return {
                "operations": len(self.operations.keys),
                "calls": len(self._structure.pairs),
                "ready": self._errors.rates.ready_count(),
            }
        return {}

    def _find_spans(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not rows:
            return []
        times = [row["unix_nano"] for row in rows]
        found: list[dict[str, Any]] = self._store.read(
            load_sql(_QUERIES, "spans_by_id"),
            {
                "trace_ids": [row["trace_id"] for row in rows],
                "span_ids": [row["span_id"] for row in rows],
                "earliest": min(times) - _REACH_NS,
                "latest": max(times) + _REACH_NS,
            },
        ).to_pylist()
        return found

    def _span_of(self, service: str, since: int, until: int) -> dict[str, Any] | None:
        bounds = {"service": service, "since": max(since, until - _REACH_NS), "until": until}
        found = self._store.read(load_sql(_QUERIES, "span_at"), bounds).to_pylist()
        return found[0] if found else self._throughput.newest_of_service(service)

    def _find_childless(
        self, parent: OperationKey, child: OperationKey, since: int, until: int
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._store.read(
            load_sql(_QUERIES, "childless_spans"),
            {
                "service": parent[0],
                "operation": parent[1],
                "kind": parent[2],
                "child_service": child[0],
                "child_operation": child[1],
                "since": since,
                "until": until,
            },
        ).to_pylist()
        return found
