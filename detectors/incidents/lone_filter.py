"""Filters lone slow spans that chance explains: E = S(x) · N, S the chance of one span.

Of a million spans an hour a thousand exceed 3σ with nothing wrong. A slow span that stands alone is an
anomaly when chance gives no more than `detect_lone_per_hour` like it in an hour: N is how many spans are
judged in one, of all operations, at the rate of the last hour. A hiccup within its operation's own tail is
told by its trace's score alone. Neither is a span an anomaly that was slow because of one within it
(`detectors.spans.nested`). Both count when their operation is in trouble, become anomalies when an incident
takes them or a sustained shift holds them, and are not learned.

Source: the E-value of sequence searches (Karlin & Altschul 1990), the per-family error rate of Tukey.

>>> [round(least_sigma(spans, per_hour=1.0), 2) for spans in (1, 6_000, 3_000_000)]
[-inf, 3.59, 4.97]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa
from scipy.special import ndtri

from collector.store.sqlfile import load_sql
from detectors.incidents.tracker import Grouped
from detectors.model.anomaly import LATENCY, Anomaly
from detectors.settings import Settings
from detectors.spans.latency_shift import PART_RULE, RULE
from detectors.spans.nested import SpanKey

_HOUR_S = 3_600.0
_SLOT_S = 10.0
_REACH_S = 300.0  # the longest window of incidents: older anomalies join none
_KEPT_MAX = 20_000
_FORGOTTEN_AFTER_NS = 7 * 24 * 3_600_000_000_000


def least_sigma(spans_an_hour: float, per_hour: float) -> float:
    """From where on chance gives no more than so many of so many spans."""
    return float(-ndtri(min(per_hour / max(spans_an_hour, 1), 1.0)))


class HeldBack:
    """Not thread-safe; memory only, and bounded: what was held back before a restart stays held back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counts: deque[tuple[float, int]] = deque()  # (since when, spans)
        self._spans = 0
        self._held: dict[str, tuple[float, Anomaly]] = {}  # by id: since when

    def count(self, spans: int, now_s: float) -> float:
        """So many spans are judged now; returns the σ that one needs to stand alone."""
        if not self._counts or now_s - self._counts[-1][0] >= _SLOT_S:
            self._counts.append((now_s, 0))
        self._counts[-1] = (self._counts[-1][0], self._counts[-1][1] + spans)
        self._spans += spans
        while now_s - self._counts[0][0] > _HOUR_S:
            self._spans -= self._counts.popleft()[1]
        # A rate: counted since a start, the first minutes of a busy system would allow what an hour does not.
        watched_s = max(now_s - self._counts[0][0], _SLOT_S)
        return least_sigma(self._spans * _HOUR_S / watched_s, self._settings.detect_lone_per_hour)

    def settle(
        self,
        grouped: Grouped,
        raised: list[Anomaly],
        enclosing: Collection[SpanKey],
        least: float,
        now_s: float,
    ) -> tuple[list[Anomaly], list[Anomaly]]:
        """Hold back what stands alone, and give back what has joined an incident or become worse.

        Args:
            grouped: of this pass; its anomalies and promoted ones are changed.
            raised: known anomalies that have become worse.
            enclosing: `EnclosingWatch.observe` of this pass.
            least: `count` of this pass.

        Returns:
            (those of `raised` that are stored, those that are held back from now on).
        """
        shown = {a.anomaly_id: a for a in grouped.anomalies}
        held = [
            a
            for a in grouped.anomalies
            if _is_lone(a) and (_of_both(a) < least or _is_enclosing(a, enclosing))
        ]
        for anomaly in held:
            del shown[anomaly.anomaly_id]
        # Promoted ones have been raised already, and have their incident: they come first.
        for anomaly in (*grouped.promoted, *raised):
            if self._held.pop(anomaly.anomaly_id, None):
                shown[anomaly.anomaly_id] = anomaly
        grouped.promoted = [a for a in grouped.promoted if a.anomaly_id not in shown]
        grouped.anomalies = list(shown.values())
        self._held |= {a.anomaly_id: (now_s, a) for a in held}
        for anomaly_id in [i for i, (since_s, _) in self._held.items() if now_s - since_s > _REACH_S]:
            del self._held[anomaly_id]
        for anomaly_id in list(self._held)[:-_KEPT_MAX]:
            del self._held[anomaly_id]
        return [a for a in raised if a.anomaly_id not in shown], held


def save_held(con: duckdb.DuckDBPyConnection, held: Sequence[Anomaly], now_unix_nano: int) -> None:
    """Note spans that are slow though they are no anomaly: they are not learned, for a week."""
    if held:
        rows = pa.table({"trace_id": [a.trace_id for a in held], "span_id": [a.span_id for a in held]})
        con.register("held", rows)
        con.execute(load_sql("detectors.incidents.queries", "insert_held"), {"now": now_unix_nano})
        con.unregister("held")


def forget_held(con: duckdb.DuckDBPyConnection, now_unix_nano: int) -> None:
    """After a week, a recalculation may learn them as normal."""
    oldest = {"oldest": now_unix_nano - _FORGOTTEN_AFTER_NS}
    con.execute("DELETE FROM held_spans WHERE detected_at < make_timestamp_ns($oldest)", oldest)


def _is_lone(anomaly: Anomaly) -> bool:
    """A slow span that nothing has confirmed; a shift too, while chance gives as much in an hour."""
    rule = anomaly.details.get("rule", RULE)
    return anomaly.detector == LATENCY and anomaly.incident_id is None and rule in (RULE, PART_RULE)


def _of_both(anomaly: Anomaly) -> float:
    """σ of the span or of the shift that it lies in: a small shift may be sure beyond doubt."""
    return max(anomaly.sigma, anomaly.shift_sigma)


def _is_enclosing(anomaly: Anomaly, enclosing: Collection[SpanKey]) -> bool:
    """Alone and around a slow span; a shift has counted others."""
    return "rule" not in anomaly.details and (anomaly.trace_id, anomaly.span_id) in enclosing
