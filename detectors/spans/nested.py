"""Keeps a slow parent from being reported for its slow child: own = d - |∪ last min(d_c - p50_c, overlap_c)|.

One slow statement also makes its request, the gateway before it and the client slow, each by its own history,
so that one cause would give five anomalies. Therefore the excess of every slow span directly inside a slow
span is subtracted, as far as the two overlap: a message that is consumed later used none of its sender's
time. When the rest is ordinary, and something at least as severe remains inside, the span is *enclosing*. An
enclosing span counts when its operation is in trouble, belongs to an incident and is not learned, but is no
anomaly by itself.

Source: self time as blame (Sigelman et al. 2010, Dapper; Zhang et al. 2022, CRISP).

>>> remaining_ns(0, 50_000_000, [Slow(5_000_000, 45_000_000, 38_000_000, 5)])
12000000
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.baseline.models import Model
from detectors.model.anomaly import Anomaly
from detectors.stream.span_groups import SpanGroups

# A span and its parent mostly land within a second of each other. Holds 20 s at 1,000 slow spans a second.
_REMEMBERED_MAX = 20_000
_NONE = 6  # no severity
_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns", "span_hash", "parent_hash"]

SpanKey = tuple[str, str]


class Slow(NamedTuple):
    """A slow span as its parent sees it."""

    start_unix_nano: int
    end_unix_nano: int
    excess_ns: int  # above its operation's median
    severity: int  # of the worst anomaly that remains in it, `_NONE` for none


def remaining_ns(start_unix_nano: int, duration_ns: int, within: Iterable[Slow]) -> int:
    """The time of a span without the excess of the slow spans in it; the excess is the last part of each.

    Excess that several of them have at the same time is subtracted once.

    >>> remaining_ns(0, 50, [Slow(5, 45, 30, 5), Slow(6, 45, 30, 5)])
    20
    """
    end = start_unix_nano + duration_ns
    lost = []
    for slow in within:
        last = min(end, slow.end_unix_nano)
        overlap = last - max(start_unix_nano, slow.start_unix_nano)
        lost.append((last - min(slow.excess_ns, overlap), last))
    taken, reached = 0, start_unix_nano
    for first, last in sorted(lost):
        taken += max(last - max(first, reached), 0)
        reached = max(reached, last)
    return duration_ns - taken


class EnclosingWatch:
    """Finds enclosing spans as they land. Not thread-safe; memory only, and bounded."""

    def __init__(self) -> None:
        self._within: dict[int, list[Slow]] = {}  # slow children by the hash of their parent

    def observe(
        self, spans: pa.Table, groups: SpanGroups, alone: Sequence[Anomaly], least: float = 0.0
    ) -> set[SpanKey]:
        """(trace id, span id) of the enclosing spans among the slow spans of a batch.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            groups: of these spans.
            alone: the anomalies of these spans from `detect_latency`.
            least: a span below this σ is no anomaly, so it does not explain the span around it.
        """
        if not alone:
            return set()
        severities = {
            (slow.trace_id, slow.span_id): slow.severity if slow.sigma >= least else _NONE for slow in alone
        }
        slow = np.flatnonzero(spans["duration_ns"].to_numpy() > groups.limits(lambda m: m.flag_above))
        rows = spans.select(_COLUMNS).take(pa.array(slow)).to_pylist()
        models = [groups.models[group] for group in groups.group_of[slow].tolist()]
        found = set()
        # Inner spans begin later and end earlier: start with the innermost.
        for row, model in sorted(
            zip(rows, models, strict=True),
            key=lambda pair: (-pair[0]["start_unix_nano"], pair[0]["duration_ns"]),
        ):
            key = row["trace_id"], row["span_id"]
            if model is not None and self._is_enclosing(row, model, severities.get(key, _NONE)):
                found.add(key)
        return found

    def _is_enclosing(self, row: dict[str, Any], model: Model, severity: int) -> bool:
        duration = row["duration_ns"]
        within: Sequence[Slow] = self._within.get(row["span_hash"], ())
        own = remaining_ns(row["start_unix_nano"], duration, within)
        worst = min((slow.severity for slow in within), default=_NONE)
        enclosing = own <= model.flag_above and worst <= severity and worst < _NONE
        if row["parent_hash"]:
            end = row["start_unix_nano"] + duration
            excess = duration - int(model.tail.p50)
            stays = worst if enclosing else severity
            siblings = self._within.setdefault(row["parent_hash"], [])
            siblings.append(Slow(row["start_unix_nano"], end, excess, stays))
            if len(self._within) > _REMEMBERED_MAX:
                del self._within[next(iter(self._within))]
        return enclosing
