"""Compares a fault of the reference exchange, whose truth is known, with the findings of its time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard import format as fmt
from dashboard.condition import degrades

# An incident's first span may have begun before the fault did; its anomalies end a moment after.
SLACK = timedelta(seconds=2)


@dataclass(frozen=True)
class Verdict:
    """`good`: True where the truth was named, False where something else or nothing was, None where open."""

    good: bool | None
    text: str
    incident_id: str | None = None


def verdict(label: Mapping[str, Any], incidents: Sequence[Mapping[str, Any]]) -> Verdict:
    """The findings in the time of a fault.

    Args:
        label: of the exchange: root_service (None for a control), root_operation, start_unix_nano and
            end_unix_nano, impact_verified.
    """
    start, end = fmt.from_nano(label["start_unix_nano"]), fmt.from_nano(label["end_unix_nano"])
    met = [row for row in incidents if _overlaps(row, start, end)]
    if label["root_service"] is None:
        return _of_control([row for row in met if degrades(row)])
    if met:
        return _of_fault(label, met)
    if not label["impact_verified"]:
        return Verdict(None, "it had no effect that could be measured, and nothing was said")
    return Verdict(False, "nothing was said")


def _of_control(loud: Sequence[Mapping[str, Any]]) -> Verdict:
    if not loud:
        return Verdict(True, "nothing was said, as there was no fault")
    return Verdict(False, f"said: {_title(loud[0])}", loud[0]["incident_id"])


def _of_fault(label: Mapping[str, Any], met: Sequence[Mapping[str, Any]]) -> Verdict:
    right = [row for row in met if _first(row).get("service") == label["root_service"]]
    exact = [row for row in right if label["root_operation"] in (None, _first(row).get("operation"))]
    best = (exact or right or met)[0]
    cause = _cause(best)
    if exact:
        return Verdict(True, cause, best["incident_id"])
    if right:
        return Verdict(None, f"{cause}: the service is right", best["incident_id"])
    return Verdict(False, cause or f"no cause; {_title(best)}", best["incident_id"])


def _overlaps(row: Mapping[str, Any], start: datetime, end: datetime) -> bool:
    first, last = fmt.parse_time(row.get("first_span_time")), fmt.parse_time(row.get("last_span_time"))
    return first is not None and last is not None and first <= end + SLACK and last >= start - SLACK


def _first(row: Mapping[str, Any]) -> Mapping[str, Any]:
    causes = row.get("root_causes") or [{}]
    return causes[0] or {}


def _cause(row: Mapping[str, Any]) -> str:
    first = _first(row)
    return " · ".join(fmt.plain(first[key], 80) for key in ("service", "operation") if first.get(key))


def _title(row: Mapping[str, Any]) -> str:
    return fmt.plain(row.get("title") or "an incident", 160)
