"""Converts a trace of the API to what the browser needs for its first picture: numbers by columns. Pure.

Attributes, events and texts of spans follow (`details`): of 10,000 spans they are six times as much.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard.theme import service_colours

# An excess is shown when it is large against the usual duration and against the trace.
MIN_EXCESS_RATIO = 0.25
MIN_EXCESS_TRACE_SHARE = 0.05
# A span's flags, as bits; waterfall/layout.js reads the same.
FAILED, CRITICAL, ORPHAN, OUTLIVES, ANOMALOUS = 1, 2, 4, 8, 16


def payload(trace: Mapping[str, Any], highlight: Sequence[str] = ()) -> dict[str, Any]:
    """The waterfall's data.

    Args:
        trace: the answer of `GET /api/monitor/trace/{id}`; spans in depth-first order.
        highlight: span ids that an explanation cites.

    Returns:
        Columns with offsets and durations in nanoseconds (relative, so exact in a double), texts of excesses
        by row, the names, and the services with their colours.
    """
    spans = trace["spans"]
    colours = service_colours([span["service_name"] for span in spans])
    services = {name: index for index, name in enumerate(colours)}
    names: dict[str, int] = {}
    cut = bool(trace.get("truncated"))
    total_ns = max([1, *(span["offset_ns"] + span["duration_ns"] for span in spans)])
    excesses = ((index, excess_text(span, total_ns)) for index, span in enumerate(spans))
    ids = [span["span_id"] for span in spans]
    known = set(ids)
    return {
        "trace_id": trace["trace_id"],
        "version": version(trace),
        "total_ns": total_ns,
        "columns": {
            "id": ids,
            "depth": [span["depth"] for span in spans],
            "service": [services[span["service_name"]] for span in spans],
            "name": [names.setdefault(span["span_name"], len(names)) for span in spans],
            "offset_ns": [span["offset_ns"] for span in spans],
            "duration_ns": [span["duration_ns"] for span in spans],
            "p50_ns": [_whole((span.get("baseline") or {}).get("p50_ns")) for span in spans],
            "excess_ns": [_whole(span.get("excess_ns")) for span in spans],
            "flags": [flags(span, cut=cut) for span in spans],
        },
        "excess_texts": {str(index): text for index, text in excesses if text},
        "names": [fmt.plain(name, 300) for name in names],
        "services": [{"name": fmt.plain(name, 120), "colour": colour} for name, colour in colours.items()],
        "notice": notice(trace),
        "highlight": [span_id for span_id in highlight if span_id in known],
    }


def version(trace: Mapping[str, Any]) -> str:
    """Differs when the trace has other spans or another order: details belong to one version."""
    ids = "".join(span["span_id"] for span in trace["spans"])
    return f"{trace['trace_id']}-{zlib.crc32(ids.encode()):08x}"


def flags(span: Mapping[str, Any], *, cut: bool) -> int:
    """What colour and shape say of a span.

    >>> flags({"status_code": "ERROR", "on_critical_path": True, "orphan": True}, cut=True)
    3
    """
    return (
        FAILED * (span.get("status_code") == "ERROR")
        | CRITICAL * bool(span.get("on_critical_path"))
        | ORPHAN * (bool(span.get("orphan")) and not cut)
        | OUTLIVES * bool(span.get("outlives_parent"))
        | ANOMALOUS * bool(span.get("anomaly_ids"))
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


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
