"""The rows of the triage queue, their order and their texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dashboard import format as fmt
from dashboard.condition import ONGOING, OVER, RECOVERING, RESOLVE_S, degrades, in_order, phase
from dashboard.shared_cause import shared_cause
from dashboard.theme import STATE_ICONS, severity
from detectors.model.amounts import CALL_KINDS, carried_text

ENDED_LATELY = timedelta(hours=24)
SECTION_ROWS = 50
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


DETECTORS = (
    "latency", "error", "structure", "message_wait", "throughput", "log", "metric", "amount", "market"
)  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """What the queue is narrowed to; empty means no restriction."""

    severities: tuple[int, ...] = ()
    service: str | None = None
    detector: str | None = None
    state: str = "active"
    text: str = ""

    def narrows(self) -> bool:
        """Whether anything is filtered beyond what the page shows by itself."""
        return self != Filters()

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
        details = row.get("details") or {}
        said = fmt.plain(details.get("side") or "", 12)
        if details.get("kind") in CALL_KINDS:
            said = fmt.plain(carried_text(details), 80)
        return " ".join(part for part in ("Whale:", said, observed) if part)
    operation = fmt.plain(row.get("operation") or "unknown operation", 120)
    said = fmt.plain((row.get("details") or {}).get("text") or "", 300)
    return f"{operation}: {said}" if said else f"{operation} took {observed}"


def likely_cause(incident: Mapping[str, Any]) -> str:
    """`kx-exchange · SELECT wallets (84%)`, or what slows everything; empty when no cause stands out."""
    causes = incident.get("root_causes") or []
    shared = shared_cause(incident)
    if shared or not causes:
        return shared
    first = causes[0]
    place = " · ".join(fmt.plain(first[key], 120) for key in ("service", "operation") if first.get(key))
    share = None if is_whale(incident) else first.get("share")  # an amount has no excess to share
    return f"{place} ({share:.0%} of the excess)" if isinstance(share, int | float) and share > 0 else place


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
    incidents: Sequence[dict[str, Any]],
    groups: Mapping[str, Any],
    filters: Filters,
    now: datetime,
    resolve_s: float = RESOLVE_S,
) -> list[dict[str, Any]]:
    """The queue: what goes on, what has gone quiet, operations with anomalies of no incident, whales and
    other events, and what has ended lately, so that whoever comes late still finds it.

    Args:
        groups: `data.anomaly_groups` of anomalies that belong to no incident.
    """
    in_turn = in_order(incidents, now, resolve_s)
    ranked = [row for row in in_turn if passes(row, filters)]
    phases = {row["incident_id"]: phase(row, now, resolve_s).name for row in ranked}
    faults = [row for row in ranked if degrades(row)]
    ongoing = [row for row in faults if phases[row["incident_id"]] == ONGOING]
    recovering = [row for row in faults if phases[row["incident_id"]] == RECOVERING]
    events = [row for row in ranked if not degrades(row) and row.get("state") != "resolved"]
    over = [row for row in in_turn if _is_over(row, filters, now)]
    singles = [_group_item(row, now) for row in groups["groups"]]
    return [
        _section("Ongoing", ongoing, now, resolve_s),
        _section("Recovering", recovering, now, resolve_s),
        {"title": f"Single anomalies by operation ({groups['total']})", "items": singles},
        _section("Whales and other events", events, now, resolve_s),
        _section("Over, last 24 h" if filters.state == "active" else "Over", over, now, resolve_s),
    ]


def _section(title: str, rows: Sequence[dict[str, Any]], now: datetime, resolve_s: float) -> dict[str, Any]:
    shown = [_incident_item(row, now, resolve_s) for row in rows[:SECTION_ROWS]]
    more = f", {SECTION_ROWS} shown" if len(rows) > SECTION_ROWS else ""
    return {"title": f"{title} ({len(rows)}{more})", "items": shown}


def _is_over(row: Mapping[str, Any], filters: Filters, now: datetime) -> bool:
    if row.get("state") != "resolved":
        return False
    if filters.state == "active":
        return _ended_lately(row, now) and passes(row, replace(filters, state="all"))
    return passes(row, filters)


def _ended_lately(row: Mapping[str, Any], now: datetime) -> bool:
    seen = fmt.parse_time(row.get("last_seen_at"))
    return seen is not None and now - seen <= ENDED_LATELY


def group_row(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group as an anomaly: the worst one stands for all."""
    return {**group, **group["worst"], "state": "open" if group["open_count"] else group["states"][0]}


def _incident_item(row: Mapping[str, Any], now: datetime, resolve_s: float) -> dict[str, Any]:
    stage = phase(row, now, resolve_s)
    cause = likely_cause(row)
    counted = f"{plural(row.get('anomaly_count'), 'anomaly', 'anomalies')}, {stage.text}"
    return _item(
        f"incident:{row['incident_id']}",
        row,
        title=fmt.plain(row.get("title") or "incident", 200),
        figure="",
        note=f"{counted} · likely {cause}" if cause and stage.name != OVER else counted,
        when=fmt.age(row.get("last_seen_at"), now),
    )


def _group_item(group: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    row = group_row(group)
    count = int(group["anomaly_count"])
    place = fmt.plain(row.get("service_name") or "", 80)
    many = f"{fmt.plain(row.get('operation') or 'unknown operation', 120)} ×{count:,}"
    worst = fmt.quantity(row.get("observed"), row.get("unit"))
    usual = fmt.quantity(row.get("expected"), row.get("unit"))
    seen = fmt.from_nano(group["detected_unix_nano"])
    return _item(
        f"anomaly:{row['anomaly_id']}",
        row,
        title=anomaly_title(row) if count == 1 or is_whale(row) else many,
        figure=fmt.sigma(row.get("sigma")),
        note=f"{place} · {row['detector']} · {'worst ' if count > 1 else ''}{worst}, usually {usual}",
        when=f"{fmt.span_of(seen, now)} ago",
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
