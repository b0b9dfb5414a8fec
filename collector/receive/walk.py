"""Walks from an export request to its items, for all three signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.signals import Signal

# request → resources → scopes → spans, log records or metrics
LEVELS: dict[Signal, tuple[str, str, str]] = {
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
}
NO_POINTS: tuple[Any, ...] = ()  # of a metric whose kind is not known


def retain(items: Any, keep: Callable[[Any], bool]) -> None:
    """Remove the items that `keep` rejects from a repeated field."""
    kept = [item for item in items if keep(item)]
    if len(kept) < len(items):
        del items[:]
        items.extend(kept)


def point_list(metric: Any) -> Any:
    """The data points of a metric, of whichever kind; `NO_POINTS` when it has none."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else NO_POINTS


def item_count(signal: Signal, items: Any) -> int:
    """How many spans, log records or data points these are."""
    return sum(len(point_list(metric)) for metric in items) if signal is Signal.METRICS else len(items)
