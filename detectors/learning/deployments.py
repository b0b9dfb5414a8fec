"""Finds deployments at the time when an operation changed. Asked only when a new level has lasted."""

from __future__ import annotations

from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.learning.change_tests import Step
from detectors.learning.level_history import SLOT_NS
from detectors.model.operation import Operation

_QUERIES = "detectors.learning.queries"
# What a deployment changes in its resource, by OpenTelemetry's conventions.
ATTRIBUTES = (
    "service.version",
    "deployment.id",
    "container.image.id",
    "container.image.tags",
    "vcs.ref.head.revision",
)
_REACH_SLOTS = 8  # two hours before the change and after it
_VALUES_MAX = 5


def deployed(store: Store, operation: Operation, found: Step) -> list[dict[str, Any]]:
    """The resource attributes of the operation's traces that had not been seen before the change.

    Returns:
        `{service, attribute, before: […], after: […]}` for each; empty when nothing was deployed.
    """
    first = found.first_slot * SLOT_NS
    rows = store.read(
        load_sql(_QUERIES, "deployments"),
        {
            **dict(zip(("service", "operation", "kind"), operation, strict=True)),
            "earliest": first - _REACH_SLOTS * SLOT_NS,
            # A deploy takes a while: the quarter of the change, and the one before it, are left out.
            "before": first - SLOT_NS,
            "since": first + SLOT_NS,
            "latest": min(found.last_slot + 1, found.first_slot + _REACH_SLOTS) * SLOT_NS,
        },
    ).to_pylist()
    return new_values(
        {row["service_name"]: row for row in rows if not row["is_after"]},
        {row["service_name"]: row for row in rows if row["is_after"]},
    )


def new_values(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Values of services seen on both sides that are only on the later one.

    >>> new_values({"shop": {"service.version": ["1.4"]}}, {"shop": {"service.version": ["1.4", "1.5"]}})
    [{'service': 'shop', 'attribute': 'service.version', 'before': ['1.4'], 'after': ['1.5']}]
    """
    changes = []
    for service in sorted(before.keys() & after.keys()):
        for attribute in ATTRIBUTES:
            old = {value for value in before[service].get(attribute) or () if value is not None}
            new = {value for value in after[service].get(attribute) or () if value is not None} - old
            if old and new:
                lists = (sorted(values)[:_VALUES_MAX] for values in (old, new))
                changes.append(
                    {
                        "service": service,
                        "attribute": attribute,
                        **dict(zip(("before", "after"), lists, strict=True)),
                    }
                )
    return changes
