"""What the queue shows, in which order, in which words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dashboard import format as fmt
from dashboard.theme import STATE_ICONS, severity

ENDED_LATELY = timedelta(hours=24)
ACTIVE_STATES = ("open", "acknowledged")
STATES = ("active", "open", "acknowledged", "snoozed", "resolved", "all")


@dataclass(frozen=True)
class Subject:
    """What is looked at: an `anomaly` or an `incident`, by id."""

    kind: str
    subject_id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject_id}"

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The opposite of `str`."""
        kind, _, subject_id = text.partition(":")
        return cls(kind, subject_id)


DETECTORS = ("latency", "error", "structure", "gap", "throughput", "log", "metric", "amount", "market")


@dataclass(frozen=True)
class Filters:
    """What the queue is narrowed to; empty means no restriction."""

    severities: tuple[int, ...] = ()
    service: str | None = None
    detector: str | None = None
    state: str = "active"
    text: str = ""

    def states(self) -> tuple[str, ...]:
        """The states that pass; empty for all."""
        return {"active": ACTIVE_STATES, "all": ()}.get(self.state, (self.state,))


def is_whale(row: Mapping[str, Any]) -> bool:
    """True for an amount anomaly or incident."""
    return (row.get("detector") or row.get("kind")) == "amount"


def anomaly_title(row: Mapping[str, Any]) -> str:
    """`SELECT wallets took 152 ms`, `Whale: BUY 402 BTC`, `POST: 29 of 80 calls failed, usually 0%`."""
    observed = fmt.quantity(row.get("observed"), row.get("unit"))
    if is_whale(row):
        side = fmt.plain((row.get("details") or {}).get("side") or "", 12)
        return " ".join(part for part in ("Whale:", side, observed) if part)
    operation = fmt.plain(row.get("operation") or "unknown operation", 120)
    said = fmt.plain((row.get("details") or {}).get("text") or "", 300)
    return f"{operation}: {said}" if said else f"{operation} took {observed}"


def likely_cause(incident: Mapping[str, Any]) -> str:
    """`kx-exchange · SELECT wallets (84%)`; empty when no cause stands out."""
    causes = incident.get("root_causes") or []
    if not causes:
        return ""
    first = causes[0]
    place = " · ".join(fmt.plain(first[key], 120) for key in ("service", "operation") if first.get(key))
    share = None if is_whale(incident) else first.get("share")  # an amount has no excess to share
    return f"{place} ({share:.0%} of the excess)" if isinstance(share, int | float) and share > 0 else place


def by_urgency(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Worst severity first, then the most σ, then the newest."""
    newest_first = sorted(
        rows, key=lambda row: row.get("detected_at") or row.get("last_seen_at") or "", reverse=True
    )
    return sorted(newest_first, key=lambda row: (row.get("severity") or 9, -(row.get("sigma") or 0.0)))


def passes(row: Mapping[str, Any], filters: Filters) -> bool:
    """Whether an anomaly or an incident is shown."""
    services = row.get("services") or [row.get("service_name")]
    states = filters.states()
    if filters.severities and row.get("severity") not in filters.severities:
        return False
    if filters.service and filters.service not in services:
        return False
    if filters.detector and filters.detector != (row.get("detector") or row.get("kind")):
        return False
    if states and row.get("state") not in states:
        return False
    words = filters.text.lower().split()
    if not words:
        return True
    haystack = " ".join(str(value) for value in row.values()).lower() + (" whale" if is_whale(row) else "")
    return all(word in haystack for word in words)


def sections(
    incidents: Sequence[dict[str, Any]], anomalies: Sequence[dict[str, Any]], filters: Filters, now: datetime
) -> list[dict[str, Any]]:
    """The queue: incidents first, each standing for its anomalies; then the anomalies of no incident; last
    what has ended lately, so that whoever comes late still finds it."""
    ranked = by_urgency(incidents)
    shown = [row for row in ranked if passes(row, filters)]
    singles = [row for row in by_urgency(anomalies) if not row.get("incident_id") and passes(row, filters)]
    listed = [
        {"title": f"Incidents ({len(shown)})", "items": [_incident_item(row, now) for row in shown]},
        {
            "title": f"Single anomalies ({len(singles)})",
            "items": [_anomaly_item(row, now) for row in singles],
        },
    ]
    if filters.state == "active":
        over = [
            row for row in ranked if _ended_lately(row, now) and passes(row, replace(filters, state="all"))
        ]
        title = f"Ended in the last 24 h ({len(over)})"
        listed.append({"title": title, "items": [_incident_item(row, now) for row in over]})
    return listed


def _ended_lately(row: Mapping[str, Any], now: datetime) -> bool:
    seen = fmt.parse_time(row.get("last_seen_at"))
    return row.get("state") == "resolved" and seen is not None and now - seen <= ENDED_LATELY


def standing_for(chosen: Subject, anomalies: Iterable[Mapping[str, Any]]) -> Subject:
    """The queue's row for what is chosen: an anomaly of an incident is behind its incident."""
    if chosen.kind == "anomaly":
        for row in anomalies:
            if row["anomaly_id"] == chosen.subject_id and row.get("incident_id"):
                return Subject("incident", row["incident_id"])
    return chosen


def _incident_item(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    cause = likely_cause(row)
    anomaly_count = plural(row.get("anomaly_count"), "anomaly", "anomalies")
    counted = f"{anomaly_count} in {plural(row.get('trace_count'), 'trace')}"
    return _item(
        f"incident:{row['incident_id']}",
        row,
        title=fmt.plain(row.get("title") or "incident", 200),
        figure="",
        note=f"{counted} · likely {cause}" if cause else counted,
        when=fmt.age(row.get("last_seen_at"), now),
    )


def _anomaly_item(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    usual = fmt.quantity(row.get("expected"), row.get("unit"))
    place = fmt.plain(row.get("service_name") or "", 80)
    where = f"{place} · {fmt.plain(row.get('operation') or '', 120)}" if is_whale(row) else place
    return _item(
        f"anomaly:{row['anomaly_id']}",
        row,
        title=anomaly_title(row),
        figure=fmt.sigma(row.get("sigma")),
        note=f"{where} · usually {usual}",
        when=fmt.age(row.get("detected_at"), now),
    )


def _item(identifier: str, row: Mapping[str, Any], **texts: str) -> dict[str, Any]:
    look = severity(row.get("severity"))
    state = row.get("state") or "open"
    return {
        "id": identifier,
        "chip": f"{look.icon} {look.label}",
        "colour": look.colour,
        "state": f"{STATE_ICONS.get(state, '●')} {state}",
        **texts,
    }


def plural(number: int | None, one: str, many: str = "") -> str:
    """`1 trace`, `12 traces`; None counts as none."""
    return f"{number or 0:,} {one if number == 1 else many or one + 's'}"
