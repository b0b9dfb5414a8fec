"""All detectors, each in one line. To add one: its file, the SQL that it needs, a line here.

They are called in this order, and see what those before them have found in the same step (`Step.found`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detectors.baseline.models import Baselines
from detectors.logs.template_rate import LogWatch
from detectors.metrics.metric import MetricWatch
from detectors.metrics.resource_growth import GrowthWatch
from detectors.orders.amount import AmountWatch
from detectors.orders.limit_price import PriceWatch
from detectors.orders.market import MarketWatch
from detectors.orders.prices import Prices
from detectors.orders.wash_trade import WashWatch
from detectors.pipeline.lookups import Lookups
from detectors.settings import Settings
from detectors.spans.call_structure import StructureWatch
from detectors.spans.client_error_rate import RefusalWatch
from detectors.spans.error_rate import ErrorWatch
from detectors.spans.latency import LatencyWatch
from detectors.spans.message_wait import MessageWaitWatch
from detectors.spans.speedup import FasterWatch
from detectors.spans.telemetry_stop import TelemetryWatch
from detectors.spans.throughput import ThroughputWatch
from detectors.stream.batch import Operations
from detectors.stream.callers import CallerShares
from detectors.stream.detector import Detector
from detectors.stream.newest_spans import NewestSpans


@dataclass(frozen=True, slots=True)
class Context:
    """The arguments that a detector may take."""

    settings: Settings
    baselines: Baselines
    operations: Operations  # that have been seen, numbered
    newest: NewestSpans
    prices: Prices
    stored: Lookups
    shares: CallerShares


Registry = Sequence[Callable[[Context], Detector]]

DETECTORS: Registry = (
    lambda c: LatencyWatch(c.settings),
    lambda c: ErrorWatch(c.settings, c.operations),
    lambda c: RefusalWatch(c.settings, c.operations),
    lambda c: StructureWatch(c.settings, c.operations, c.stored.childless, c.shares),
    lambda c: ThroughputWatch(c.settings, c.operations, c.newest, c.shares),
    lambda c: TelemetryWatch(c.settings, c.operations, c.newest),
    lambda c: MessageWaitWatch(c.baselines, c.settings),
    lambda c: FasterWatch(c.settings),
    lambda c: MarketWatch(c.settings, c.prices),
    lambda c: PriceWatch(c.settings),
    lambda c: WashWatch(c.settings),
    lambda c: AmountWatch(c.settings, c.baselines, c.prices, c.stored.stored_whales),
    lambda c: LogWatch(c.settings, c.stored.spans_by_id, c.newest.of_service),
    lambda c: MetricWatch(c.settings, c.stored.span_of),
    lambda c: GrowthWatch(c.settings, c.stored.span_of),
)
