"""Converts a trace of the API to the rows that the browser draws. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard import genai
from dashboard.theme import service_colours

# An excess is shown when it is large against the usual duration and against the trace.
MIN_EXCESS_RATIO = 0.25
MIN_EXCESS_TRACE_SHARE = 0.05
MAX_VALUE_CHARS = 2000
MAX_ATTRIBUTES = 200
MAX_EVENTS = 50


def payload(trace: Mapping[str, Any], highlight: Sequence[str] = ()) -> dict[str, Any]:
    """The waterfall's data.

    Args:
        trace: the answer of `GET /api/monitor/trace/{id}`; spans in depth-first order.
        highlight: span ids that an explanation cites.

    Returns:
        Rows with offsets and durations in nanoseconds (relative, so exact in a double), subtree ends,
        finished texts, and the services with their colours.
    """
    spans = trace["spans"]
    known = {span["span_id"] for span in spans}
    colours = service_colours([span["service_name"] for span in spans])
    service_index = {name: index for index, name in enumerate(colours)}
    total_ns = max([1, *(span["offset_ns"] + span["duration_ns"] for span in spans)])
    ends = subtree_ends([span["depth"] for span in spans])
    parents = parent_indexes([span["depth"] for span in spans])
    places = sibling_places(parents)
    rows = [
        _row(span, service_index, total_ns, cut=bool(trace.get("truncated")))
        | {"end": end, "parent": parent, "setsize": size, "posinset": place}
        for span, end, parent, (size, place) in zip(spans, ends, parents, places, strict=True)
    ]
    return {
        "trace_id": trace["trace_id"],
        "total_ns": total_ns,
        "rows": rows,
        "services": [{"name": fmt.plain(name, 120), "colour": colour} for name, colour in colours.items()],
        "notice": notice(trace),
        "highlight": [span_id for span_id in highlight if span_id in known],
    }


def packed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same data with the names of the rows' fields given once: a large trace becomes a third smaller."""
    rows = data["rows"]
    names = list(rows[0]) if rows else []
    return {**data, "names": names, "rows": [[row[name] for name in names] for row in rows]}


def extras(
    links: Sequence[Mapping[str, Any]],
    logs: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]] = (),
) -> dict[str, dict[str, Any]]:
    """By span id: `links` as [trace id, span id], `logs` as [time, level, line], `genai` as `genai.shown`."""
    by_link: dict[str, list[list[str]]] = {}
    for link in links:
        pair = [fmt.plain(link["linked_trace_id"], 32), fmt.plain(link["linked_span_id"], 16)]
        by_link.setdefault(str(link["span_id"]), []).append(pair)
    by_log: dict[str, list[list[str]]] = {}
    for line in logs:
        told = [
            fmt.nano_clock(line["unix_nano"]),
            fmt.plain(line["severity_text"], 12),
            fmt.plain(line["body"], 500),
        ]
        by_log.setdefault(str(line.get("span_id") or ""), []).append(told)
    return {"links": by_link, "logs": by_log, "genai": genai.shown(calls)}


def subtree_ends(depths: Sequence[int]) -> list[int]:
    """For each row of a depth-first list, the index after its last descendant.

    >>> subtree_ends([0, 1, 2, 1, 0])
    [4, 3, 3, 4, 5]
    """
    ends = [len(depths)] * len(depths)
    open_rows: list[int] = []
    for index, depth in enumerate(depths):
        while open_rows and depths[open_rows[-1]] >= depth:
            ends[open_rows.pop()] = index
        open_rows.append(index)
    return ends


def parent_indexes(depths: Sequence[int]) -> list[int]:
    """For each row of a depth-first list, the row above it in the tree; -1 for a root.

    >>> parent_indexes([0, 1, 2, 1, 0])
    [-1, 0, 1, 0, -1]
    """
    parents: list[int] = []
    path: list[int] = []
    for index, depth in enumerate(depths):
        while path and depths[path[-1]] >= depth:
            path.pop()
        parents.append(path[-1] if path else -1)
        path.append(index)
    return parents


def sibling_places(parents: Sequence[int]) -> list[tuple[int, int]]:
    """For each row: how many siblings there are with it, and its place among them, from 1.

    >>> sibling_places([-1, 0, 1, 0, -1])
    [(2, 1), (2, 1), (1, 1), (2, 2), (2, 2)]
    """
    sizes: dict[int, int] = {}
    places = []
    for parent in parents:
        sizes[parent] = sizes.get(parent, 0) + 1
        places.append(sizes[parent])
    return [(sizes[parent], place) for parent, place in zip(parents, places, strict=True)]


def notice(trace: Mapping[str, Any]) -> str:
    """The parts that the picture leaves out or cannot know; empty when it is complete."""
    parts = []
    shown, total = len(trace["spans"]), trace.get("span_count") or len(trace["spans"])
    if trace.get("truncated") or shown < total:
        chosen = "those that failed or are anomalous, then the longest"
        parts.append(f"Showing {shown:,} of {total:,} spans: {chosen}.")
    # In a cut trace a missing parent may not have been received, or may have been left out.
    orphans = 0 if parts else sum(1 for span in trace["spans"] if span.get("orphan"))
    if orphans:
        spans = "span has" if orphans == 1 else "spans have"
        parts.append(
            f"{orphans} {spans} a parent that was not received: it may still be on its way, or was dropped."
        )
    return " ".join(parts)


def excess_text(span: Mapping[str, Any], total_ns: int) -> str:
    """`+480 ms over baseline` where that matters; otherwise nothing, so that it stands out."""
    excess_ns, baseline = span.get("excess_ns"), span.get("baseline")
    if excess_ns is None or not baseline:
        return ""
    matters = excess_ns >= MIN_EXCESS_RATIO * (baseline.get("p50_ns") or 0)
    matters = matters and excess_ns >= MIN_EXCESS_TRACE_SHARE * total_ns
    return fmt.over_baseline(excess_ns) if matters else ""


def _row(
    span: Mapping[str, Any], service_index: Mapping[str, int], total_ns: int, *, cut: bool
) -> dict[str, Any]:
    baseline = span.get("baseline") or {}
    return {
        "id": span["span_id"],
        "parent_id": span.get("parent_span_id") or "",
        "depth": span["depth"],
        "service": service_index[span["service_name"]],
        "name": fmt.plain(span["span_name"], 300),
        "kind": span.get("span_kind") or "UNSPECIFIED",
        "offset_ns": span["offset_ns"],
        "duration_ns": span["duration_ns"],
        "self_time_ns": span.get("self_time_ns"),
        "start_text": _start_text(span),
        "status": span.get("status_code") or "UNSET",
        "message": fmt.plain(span.get("status_message") or "", MAX_VALUE_CHARS),
        "critical": bool(span.get("on_critical_path")),
        "orphan": bool(span.get("orphan")) and not cut,
        "outlives": bool(span.get("outlives_parent")),
        "p50_ns": baseline.get("p50_ns"),
        "p99_ns": baseline.get("p99_ns"),
        "samples": fmt.count(baseline.get("sample_count")),
        "cell": fmt.cell(baseline.get("cell")),
        "excess_ns": span.get("excess_ns"),
        "excess_text": excess_text(span, total_ns),
        "percentile_text": _percentile_text(span.get("percentile")),
        "sigma_text": fmt.sigma(span.get("sigma")),
        "anomalies": len(span.get("anomaly_ids") or ()),
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


def _percentile_text(percentile: float | None) -> str:
    """`percentile` is 0 to 100: how much of the operation's history was faster."""
    if percentile is None:
        return fmt.DASH
    shown = "over 99.99%" if percentile > 99.99 else f"{percentile:.4g}%"
    return f"slower than {shown} of its history"
