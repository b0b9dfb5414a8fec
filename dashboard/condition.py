"""The system's condition in words: phases of incidents, abnormal figures, the bar's sentence. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard import format as fmt

ONGOING, RECOVERING, OVER = "ONGOING", "RECOVERING", "OVER"
QUIET_AFTER_S = 15  # detection reports within seconds; a longer silence is no delay of ours
RESOLVE_S = 120.0  # the server's default, where it does not say
# Fewer whole minutes do not show the usual values.
USUAL_MINUTES_MIN = 5
CALLS_MIN = 20
ERRORS_MIN = 3
SLOW_FACTOR = 1.5  # above the slow end of usual minutes
NEVER_DEGRADES = ("amount", "market", "metric")


@dataclass(frozen=True)
class Phase:
    """`name` is ONGOING, RECOVERING or OVER; `text` says since when, or until when."""

    name: str
    text: str


def phase(incident: Mapping[str, Any], now: datetime, resolve_s: float = RESOLVE_S) -> Phase:
    """The phase of an incident: ongoing, recovering (quiet for some time), or over."""
    seen = fmt.parse_time(incident.get("last_seen_at"))
    if incident.get("state") == "resolved" or seen is None:
        return Phase(OVER, f"ended {fmt.age(incident.get('last_seen_at'), now)}")
    quiet_s = (now - seen).total_seconds()
    if quiet_s <= QUIET_AFTER_S or incident.get("kind") == "metric":
        return Phase(ONGOING, f"last bad call {fmt.span_of(seen, now)} ago")
    closes = seen + timedelta(seconds=resolve_s)
    when = f"closes by {fmt.clock_of(closes)}" if closes > now else "closes at the next pass"
    return Phase(RECOVERING, f"quiet for {fmt.span_of(seen, now)}, {when}")


def degrades(incident: Mapping[str, Any]) -> bool:
    """Whether a service does its work worse than usual: a whale is no outage."""
    return incident.get("kind") not in NEVER_DEGRADES


def in_order(incidents: Sequence[dict[str, Any]], now: datetime, resolve_s: float) -> list[dict[str, Any]]:
    """Ongoing before recovering before over; the worst first, then the earliest."""
    ranks = {ONGOING: 0, RECOVERING: 1, OVER: 2}

    def key(row: dict[str, Any]) -> tuple[int, int, str]:
        return (
            ranks[phase(row, now, resolve_s).name],
            int(row.get("severity") or 9),
            str(row.get("opened_at") or ""),
        )

    return sorted(incidents, key=key)


def share_at_least(count: int, total: int, sigmas: float = 3.0) -> float:
    """The share that `count` of `total` shows with near certainty: Wilson's lower bound.

    Source: Wilson, JASA 1927.

    >>> share_at_least(0, 100), round(share_at_least(50, 100), 2), round(share_at_least(1, 1000), 5)
    (0.0, 0.36, 9e-05)
    """
    if total <= 0 or count <= 0:
        return 0.0
    share, z2 = count / total, sigmas * sigmas
    centre = share + z2 / (2 * total)
    spread = sigmas * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + z2 / total))


@dataclass(frozen=True)
class Judged:
    """A service or operation beside its usual, and the figures of it that are abnormal."""

    row: Mapping[str, Any]
    fails: bool
    slow: bool
    silent: bool

    @property
    def error_share(self) -> float | None:
        count = self.row["request_count"]
        return self.row["error_count"] / count if count else None

    @property
    def abnormal(self) -> bool:
        return self.fails or self.slow or self.silent

    @property
    def name(self) -> str:
        return str(self.row["operation"] or self.row["service_name"])


def judge(row: Mapping[str, Any]) -> Judged:
    """Errors beyond the worst usual minutes, p95 beyond 1.5 × the slow end, or no call at all."""
    count, errors = int(row["request_count"]), int(row["error_count"])
    known = int(row["usual_minutes"] or 0) >= USUAL_MINUTES_MIN
    usual_high = float(row["high_error_share"] or 0.0) if known else 0.05
    fails = errors >= ERRORS_MIN and share_at_least(errors, count) > usual_high
    high_p95, p95 = row["high_p95_ns"], row["p95_ns"]
    slow = bool(
        known and count >= CALLS_MIN and high_p95 and p95 and float(p95) > SLOW_FACTOR * float(high_p95)
    )
    expected = float(row["usual_rate_per_s"] or 0.0) * 60
    silent = known and count == 0 and expected >= ERRORS_MIN
    return Judged(row, fails, slow, silent)


def symptom(judged: Judged) -> str:
    """`38% of POST /orders fail, usually 0%`; empty when nothing is abnormal."""
    row, name = judged.row, fmt.plain(judged.name, 80)
    known = int(row["usual_minutes"] or 0) >= USUAL_MINUTES_MIN
    if judged.silent:
        return f"no call of {name} for a minute, usually {fmt.rate(row['usual_rate_per_s'])}"
    if judged.fails:
        usual = f", usually {fmt.percent(row['usual_error_share'])}" if known else ""
        return f"{fmt.percent(judged.error_share)} of {name} fail{usual}"
    if judged.slow:
        return (
            f"{name} takes {fmt.duration(row['p95_ns'])} (p95), usually {fmt.duration(row['usual_p95_ns'])}"
        )
    return ""


def worst(rows: Sequence[Mapping[str, Any]]) -> Judged | None:
    """The row with the largest effect: failing before silent before slow, then the most calls."""
    found = [judged for judged in map(judge, rows) if judged.abnormal]

    def key(judged: Judged) -> tuple[bool, bool, float, int]:
        count = int(judged.row["request_count"])
        return (judged.fails, judged.silent, (judged.error_share or 0.0) * count, count)

    return max(found, key=key) if found else None


def harm(users: Sequence[Mapping[str, Any]]) -> str:
    """The effects that users notice now, as one clause."""
    hit = worst(users)
    if hit is not None:
        return symptom(hit)
    known = any(int(row["usual_minutes"] or 0) >= USUAL_MINUTES_MIN for row in users)
    if not users:
        return "what users get is not known: no trace began in the last minute"
    if not known:
        return f"{_present(users)}; what is usual is not known yet"
    return "what users call answers as usual in the last minute"


def _present(users: Sequence[Mapping[str, Any]]) -> str:
    """The figures of the last minute, where there is nothing yet to hold them against.

    >>> _present([{"request_count": 120, "error_count": 3, "p95_ns": 2e9, "operation": "POST /pay"}])
    '2.5% of 2/s fail, p95 2 s of POST /pay'
    """
    count = sum(int(row["request_count"]) for row in users)
    failed = sum(int(row["error_count"]) for row in users)
    most = max(users, key=lambda row: int(row["request_count"]))
    name = fmt.plain(most["operation"] or most["service_name"], 80)
    share = fmt.percent(failed / count if count else 0.0)
    return f"{share} of {fmt.rate(count / 60)} fail, p95 {fmt.duration(most['p95_ns'])} of {name}"


@dataclass(frozen=True)
class Condition:
    """The sentence of the bar; `tone` is bad, warn, info or good."""

    tone: str
    icon: str
    text: str
    incident_id: str | None = None


def condition(  # noqa: PLR0911, PLR0917 - all that the sentence may be, and is made of
    health: Mapping[str, Any],
    incidents: Sequence[dict[str, Any]],
    services: Sequence[Mapping[str, Any]],
    users: Sequence[Mapping[str, Any]],
    now: datetime,
    resolve_s: float = RESOLVE_S,
) -> Condition:
    """The most important thing in one sentence: service, symptom, extent and usual value."""
    troubles = [row for row in incidents if row.get("state") != "resolved" and degrades(row)]
    ranked = in_order(troubles, now, resolve_s)
    if ranked:
        first = ranked[0]
        stage = phase(first, now, resolve_s)
        more = f" (and {len(ranked) - 1} more)" if len(ranked) > 1 else ""
        opened = fmt.parse_time(first.get("first_span_time"))
        since = f" for {fmt.span_of(opened, now)}" if opened and stage.name == ONGOING else f": {stage.text}"
        title = fmt.plain(first.get("title") or "", 200)
        text = f"SEV{first.get('severity')} {stage.name}{since}{more}. {title}"
        tone = "bad" if stage.name == ONGOING else "warn"
        return Condition(tone, "▲", f"{text}. Users: {harm(users)}.", str(first["incident_id"]))
    if not health["services"] and not services:
        return Condition("info", "◷", "No telemetry yet: nothing has been sent to this server.")
    if not health["services"]:
        return Condition(
            "warn", "▲", "No span has arrived in the last minute: check the senders and their exporters."
        )
    hit = worst(users) or worst(services)
    if hit is not None:
        where = fmt.plain(hit.row["service_name"], 80)
        return Condition("warn", "▲", f"No incident, but {symptom(hit)} ({where}, last minute).")
    if health["status"] == "learning":
        return Condition(
            "info", "◷", "Learning what is usual; operations are judged once they have enough samples."
        )
    failure = (health.get("detection") or {}).get("error")
    if failure:
        return Condition("warn", "▲", f"Detection fails and is tried again: {fmt.plain(failure, 200)}")
    number = len(health["services"])
    return Condition("good", "✓", f"No incident; {number} service{'s' * (number != 1)} as usual.")
