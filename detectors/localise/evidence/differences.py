"""Which attributes set the bad traces apart: one user, one region, one version.

Of n bad traces that carry a key, k carry this value; usually k₀ of n₀ do. A value speaks when

    support k/n ≥ 0.2, k ≥ 3,  lift (k/n) / (k₀/n₀) ≥ 1.5,  and z ≥ 4

with z of `behaviour.signed_root`: hundreds of values are tried at a time, and four standard errors are
chance in one of thirty thousand. Ids and timestamps need no list of names, since none of their
values has support. Numbers that measure something are left to `values`. Values are ranked by how much more of
the bad traces they cover than of the others (Honeycomb's BubbleUp shows the same two shares), and those that
mark the same traces are named together. They are shown and rank nobody: as a source they changed no ranking
of any set.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from detectors.localise.behaviour import signed_root
from detectors.localise.carried import Carried
from detectors.localise.evidence.finding import EVIDENCE_MAX, evidence
from detectors.localise.traces import Traces
from detectors.model.text import share_text
from detectors.stats.arrays import IntArray

_SUPPORT_MIN = 0.2
_TRACES_MIN = 3
_LIFT_MIN = 1.5
_Z_MIN = 4.0
_KEPT_MAX = 5
_ALSO_MAX = 3
_KNOWN_MIN = 5  # usual traces with a key; below, the key itself is new


@dataclass(frozen=True, slots=True)
class Difference:
    """One value; shares are of traces, `usual_share` 0 where it never occurred.

    row: the topmost span of the worst trace that carries it, into `Traces`. also: `key = value` of others
    that mark the same traces.
    """

    key: str
    value: str
    share: float
    usual_share: float
    trace_count: int
    lift: float
    z: float
    row: int
    also: tuple[str, ...] = ()

    def as_row(self, traces: Traces) -> dict[str, Any]:
        """As people read it in an incident."""
        span = traces.span(self.row)
        shown = {name: value for name, value in asdict(self).items() if name != "row"}
        numbers = {name: round(shown[name], 4) for name in ("share", "usual_share", "lift", "z")}
        place = {name: span[name] for name in ("service_name", "operation", "trace_id", "span_id")}
        return {**shown, **numbers, "also": list(self.also), **place}


def differences(traces: Traces, carried: Carried) -> list[Difference]:
    """The strongest first, at most five."""
    if not carried.incident.any() or carried.incident.all():
        return []
    bad, usual = _trace_counts(carried, carried.pair, len(carried.pairs))
    key_of = np.zeros(len(carried.pairs), dtype=np.int64)
    key_of[carried.pair] = carried.key
    bad_n, usual_n = (counts[key_of] for counts in _trace_counts(carried, carried.key, len(carried.keys)))
    new = usual_n < _KNOWN_MIN
    codes = _codes_of_traces(traces)
    bad_n = np.where(new, len(np.unique(codes[traces.incident])), bad_n)
    usual_n = np.where(new, len(np.unique(codes[~traces.incident])), usual_n)
    share, usual_share = bad / np.maximum(bad_n, 1), usual / np.maximum(usual_n, 1)
    # Half a trace more than were seen: a value that never occurred has no infinite lift.
    lift = share / np.maximum(usual_share, 0.5 / np.maximum(usual_n, 1))
    z = signed_root(bad, bad_n, usual, usual_n)
    speaks = (share >= _SUPPORT_MIN) & (bad >= _TRACES_MIN) & (lift >= _LIFT_MIN) & (z >= _Z_MIN)
    found = np.flatnonzero(speaks & (usual_n > 0) & ~carried.measures()[key_of])
    order = sorted(found.tolist(), key=lambda i: (-(share[i] - usual_share[i]), carried.pairs[i]))
    kept: dict[bytes, Difference] = {}
    for i in order:
        mark = _marked(carried, i)
        if mark in kept:
            kept[mark] = _with(kept[mark], carried.pairs[i])
        elif len(kept) < _KEPT_MAX:
            key, value = carried.pairs[i]
            kept[mark] = Difference(
                key, value, float(share[i]), float(usual_share[i]), int(bad[i]), float(lift[i]), float(z[i]),
                _topmost(traces, carried, i),
            )  # fmt: skip
    return list(kept.values())


def with_differences(
    traces: Traces, items: list[dict[str, Any]], found: list[Difference]
) -> list[dict[str, Any]]:
    """A cause's evidence and the attributes that set its traces apart, each once."""
    known = {(item["kind"], item["text"]) for item in items}
    new = [_item(traces, difference) for difference in found[:EVIDENCE_MAX]]
    return [*items, *(item for item in new if (item["kind"], item["text"]) not in known)]


def _item(traces: Traces, difference: Difference) -> dict[str, Any]:
    text = (
        f"{difference.key} = {difference.value} in {share_text(difference.share)} of the affected traces, "
        f"usually in {share_text(difference.usual_share)}"
    )
    return evidence(
        "attribute", traces.span(difference.row), text,
        observed=difference.share, expected=difference.usual_share, unit="share",
    )  # fmt: skip


def _trace_counts(carried: Carried, codes: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """(bad, usual) traces that hold each code at least once."""
    once = np.unique(np.stack([codes, carried.trace]), axis=1, return_index=True)[1]
    now = carried.incident[once]
    return (
        np.bincount(codes[once[now]], minlength=size).astype(np.int64),
        np.bincount(codes[once[~now]], minlength=size).astype(np.int64),
    )


def _codes_of_traces(traces: Traces) -> IntArray:
    codes = traces.table["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return np.asarray(codes, dtype=np.int64)


def _marked(carried: Carried, pair: int) -> bytes:
    """The traces that hold it, as bytes to compare."""
    return np.unique(carried.trace[carried.pair == pair]).tobytes()


def _with(known: Difference, pair: tuple[str, str]) -> Difference:
    if len(known.also) >= _ALSO_MAX:
        return known
    values = {name: getattr(known, name) for name in Difference.__dataclass_fields__}
    return Difference(**{**values, "also": (*known.also, f"{pair[0]} = {pair[1]}")})


def _topmost(traces: Traces, carried: Carried, pair: int) -> int:
    """The span that carries it first, in the longest of the bad traces."""
    rows = carried.row[(carried.pair == pair) & carried.incident]
    start = traces.table["start_unix_nano"].to_numpy()[rows]
    duration = traces.table["duration_ns"].to_numpy()[rows]
    longest = rows[np.lexsort((start, -duration))[0]]
    return int(longest)
