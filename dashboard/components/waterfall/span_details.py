"""What the drawer and the search of the waterfall show of each span beyond the first picture. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from dashboard import format as fmt
from dashboard import genai
from dashboard.components.waterfall.model import version
from dashboard.triage import plural

MAX_VALUE_CHARS = 2000
MAX_ATTRIBUTES = 200
MAX_EVENTS = 50
# Fewer samples than this have no percentile worth reading.
PERCENTILE_SAMPLES = 10


class Extras(NamedTuple):
    """What the drawer shows that is no part of the trace's answer.

    links: span_id, linked_trace_id, linked_span_id.
    logs: unix_nano, span_id, severity_text, body.
    calls: of language models, as `data.telemetry.genai_calls` reads them.
    origins: as `data.telemetry.span_origins` reads them.
    """

    links: Sequence[Mapping[str, Any]] = ()
    logs: Sequence[Mapping[str, Any]] = ()
    calls: Sequence[Mapping[str, Any]] = ()
    origins: Sequence[Mapping[str, Any]] = ()


_NOTHING = Extras()


def details(trace: Mapping[str, Any], extras: Extras = _NOTHING) -> dict[str, Any]:
    """The names of the fields, and of each span their values, in the order of `payload`.

    By span id: `links` as [trace id, span id], `logs` as [time, level, line], `genai` as `genai.shown`.
    `origins` are pairs of names and values, `origin_of` says for each span which of them are its own.
    """
    rows = [_row(span) for span in trace["spans"]]
    return {
        "trace_id": trace["trace_id"],
        "version": version(trace),
        "names": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
        "links": _links(extras.links),
        "logs": _logs(extras.logs),
        "genai": genai.shown(extras.calls),
        "origins": [_origin(origin) for origin in extras.origins],
        "origin_of": _origin_of(trace, extras.origins),
    }


def _origin(origin: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    scope = [("name", origin["scope_name"]), ("version", origin["scope_version"])]
    scope.append(("trace state", origin["trace_state"]))
    return {
        "resource": pairs(json.loads(origin["resource"] or "{}")),
        "scope": [[name, fmt.plain(value, MAX_VALUE_CHARS)] for name, value in scope if value],
    }


def _origin_of(trace: Mapping[str, Any], origins: Sequence[Mapping[str, Any]]) -> list[int]:
    """The place in `origins` of each span's own; -1 where it has none."""
    places = {span_id: place for place, origin in enumerate(origins) for span_id in origin["span_ids"]}
    return [places.get(span["span_id"], -1) for span in trace["spans"]] if places else []


def _links(links: Sequence[Mapping[str, Any]]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for link in links:
        pair = [fmt.plain(link["linked_trace_id"], 32), fmt.plain(link["linked_span_id"], 16)]
        found.setdefault(str(link["span_id"]), []).append(pair)
    return found


def _logs(logs: Sequence[Mapping[str, Any]]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in logs:
        told = [
            fmt.nano_clock(line["unix_nano"]),
            fmt.plain(line["severity_text"], 12),
            fmt.plain(line["body"], 500),
        ]
        found.setdefault(str(line.get("span_id") or ""), []).append(told)
    return found


def _row(span: Mapping[str, Any]) -> dict[str, Any]:
    baseline = span.get("baseline") or {}
    samples = int(baseline.get("sample_count") or 0)
    return {
        "parent_id": span.get("parent_span_id") or "",
        "kind": span.get("span_kind") or "UNSPECIFIED",
        "self_time_ns": span.get("self_time_ns"),
        "start_text": _start_text(span),
        "status": span.get("status_code") or "UNSET",
        "message": fmt.plain(span.get("status_message") or "", MAX_VALUE_CHARS),
        "p99_ns": baseline.get("p99_ns"),
        "samples": plural(samples, "sample"),
        "cell": fmt.cell(baseline.get("cell")),
        "percentile_text": percentile_text(span.get("percentile"), samples),
        "sigma_text": sigma_text(span.get("sigma"), samples),
        "attributes": pairs(span.get("attributes")),
        "events": [_event(event, span) for event in (span.get("events") or ())[:MAX_EVENTS]],
    }


def pairs(attributes: Mapping[str, Any] | None) -> list[list[str]]:
    """Attributes as sorted texts, each cut to a length that a drawer can show."""
    items = sorted((attributes or {}).items())
    shown = [
        [fmt.plain(key, 200), fmt.plain(value, MAX_VALUE_CHARS)] for key, value in items[:MAX_ATTRIBUTES]
    ]
    return [*shown, ["…", f"{len(items) - MAX_ATTRIBUTES} more"]] if len(items) > MAX_ATTRIBUTES else shown


def _event(event: Mapping[str, Any], span: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": fmt.plain(event.get("name") or "", 200),
        "offset_ns": span["offset_ns"] + _event_offset_ns(event, span),
        "attributes": pairs(event.get("attributes")),
    }


def _event_offset_ns(event: Mapping[str, Any], span: Mapping[str, Any]) -> int:
    """Nanoseconds from the span's start; 0 when the event's time cannot be read."""
    if event.get("offset_ns") is not None:
        return int(event["offset_ns"])
    nanos = event.get("time_unix_nano")
    return int(nanos) - int(span["start_unix_nano"]) if nanos and span.get("start_unix_nano") else 0


def _start_text(span: Mapping[str, Any]) -> str:
    """`2026-11-20 22:45:17.123456789 UTC`, exact to the nanosecond; how far its host's clock is off."""
    unix_nano = span.get("start_unix_nano")
    if not unix_nano:
        return fmt.DASH
    seconds, nanos = divmod(int(unix_nano), 1_000_000_000)
    text = f"{fmt.unix_stamp(seconds)}.{nanos:09d} {fmt.zone_name(fmt.from_nano(unix_nano))}"
    ahead_ns = span.get("clock_ahead_ns") or 0
    return f"{text} ({fmt.clock_off(ahead_ns)}, drawn without it)" if ahead_ns else text


def percentile_text(percentile: float | None, samples: int) -> str:
    """`percentile` is 0 to 100: how much of the operation's history was faster.

    >>> percentile_text(97.31, 800), percentile_text(0.0, 1)
    ('slower than 97.31% of its history', 'not known from 1 sample')
    """
    if percentile is None:
        return fmt.DASH
    if samples < PERCENTILE_SAMPLES:
        return f"not known from {plural(samples, 'sample')}"
    shown = "over 99.99%" if percentile > 99.99 else f"{percentile:.4g}%"
    return f"slower than {shown} of its history"


def sigma_text(sigma: float | None, samples: int) -> str:
    """A deviation; one to the fast side is no larger than so many samples can show.

    >>> sigma_text(-7.03, 1), sigma_text(-7.03, 99), sigma_text(7.03, 99)
    ('0σ', '-2.3σ', '7σ')
    """
    if sigma is None:
        return fmt.DASH
    least = NormalDist().inv_cdf(1 / (samples + 1)) if samples else 0.0
    return fmt.sigma(max(sigma, least))
