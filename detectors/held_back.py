"""Keeps lone anomalies of enclosing spans out of the table until they are more than that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from detectors.detect.anomaly import LATENCY, Anomaly
from detectors.detect.enclosing import SpanKey
from detectors.incidents import Grouped

_REACH_S = 300.0  # the longest window of incidents: what is older joins none
_KEPT_MAX = 20_000


class HeldBack:
    """Not thread-safe; memory only, and bounded: after a restart what was held stays so."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, Anomaly]] = {}  # by id: since when

    def settle(
        self, grouped: Grouped, raised: list[Anomaly], enclosing: Collection[SpanKey], now_s: float
    ) -> tuple[list[Anomaly], list[Anomaly]]:
        """Hold back what stands alone, and give back what has joined an incident or become worse.

        Args:
            grouped: of this pass; its anomalies and promoted ones are changed.
            raised: known anomalies that have become worse.
            enclosing: `EnclosingWatch.observe` of this pass.

        Returns:
            (those of `raised` that are stored, those that are held back from now on).
        """
        shown = {a.anomaly_id: a for a in grouped.anomalies}
        held = [a for a in grouped.anomalies if _is_lone(a) and (a.trace_id, a.span_id) in enclosing]
        for anomaly in held:
            del shown[anomaly.anomaly_id]
        for anomaly in (*raised, *grouped.promoted):  # promoted ones have been raised already
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


def _is_lone(anomaly: Anomaly) -> bool:
    """One slow span and no more: a shift has counted others."""
    return anomaly.detector == LATENCY and anomaly.incident_id is None and "rule" not in anomaly.details


def save_held(con: duckdb.DuckDBPyConnection, held: Sequence[Anomaly], now_unix_nano: int) -> None:
    """Note spans that are slow though they are no anomaly: they are not learned."""
    if held:
        rows = pa.table({"trace_id": [a.trace_id for a in held], "span_id": [a.span_id for a in held]})
        con.register("held_spans", rows)
        con.execute(load_sql("detectors.queries", "insert_enclosing"), {"now": now_unix_nano})
        con.unregister("held_spans")
