"""One pass of detection: landed batches in, anomalies, incidents and the new position out, in one commit."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.baseline.persist import read_position, save_position
from detectors.detect.amount import detect_amounts, topmost
from detectors.detect.anomaly import Anomaly
from detectors.detect.latency import detect_latency, group_spans, split_key
from detectors.detect.shift import Shifted, ShiftWatch
from detectors.incident_store import load_open, save_incidents
from detectors.incidents import Grouped, IncidentTracker, OperationKey
from detectors.settings import Settings
from detectors.texts import amount_text, worth_text
from detectors.windows import Windows

_QUERIES = "detectors.queries"
_READER = "detect"
_SIGNALS = "signals"  # logs and metrics
_WRITE_TRIES = 5
# The rest of a row, times and state, comes from the pass.
_COLUMNS = [f.name for f in fields(Anomaly) if f.name != "details"]
_log = logging.getLogger("spyhop.detectors")


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass wrote."""

    span_count: int
    anomaly_count: int
    incident_ids: list[str]


class Detection:
    """Judges batches in order. The pipeline's thread owns it."""

    def __init__(self, store: Store, baselines: Baselines, settings: Settings, now_s: float) -> None:
        self._store = store
        self._baselines = baselines
        self._settings = settings
        self.position = read_position(store, _READER)
        # A folder of an older Spyhop has logs and metrics that nobody followed: they are not caught up with.
        self.signal_position = read_position(store, _SIGNALS) or self._newest_signals(0)
        self._reload(now_s)

    def judge(self, after: int, upto: int, now_s: float, now_unix_nano: int) -> Found:
        """Judge the batches in (after, upto]."""
        bounds = {"after": after, "upto": upto}
        spans = self._store.read(load_sql(_QUERIES, "new_spans"), bounds)
        groups = group_spans(spans, self._baselines)
        slow = detect_latency(spans, self._baselines, self._settings, groups)
        slow, raised = with_shift(slow, self._shifts.observe(spans, groups, now_s))
        windowed, worse = self.windows.observe(spans, now_s)
        raised += worse
        amounts = self._store.read(load_sql(_QUERIES, "new_amounts"), bounds)
        windowed += self.windows.observe_orders(amounts)
        whales, moved = self._whales(amounts)
        signals = self._newest_signals(upto)
        windowed += self.windows.observe_signals(self.signal_position, signals)
        counts = span_counts(spans)
        grouped = self.tracker.observe(now_s, now_unix_nano, counts, [*slow, *whales, *windowed], raised)
        for whale in moved:
            if incident := self.tracker.moved(whale):
                grouped.changed[incident.incident_id] = incident
        try:
            self._write(grouped, moved, raised, (upto, signals), now_unix_nano)
        except BaseException:
            # The batches will be judged again: what memory has made of them must not count twice.
            self._reload(now_s)
            raise
        self.position, self.signal_position = upto, signals
        for incident in grouped.changed.values():
            if incident.state == "resolved":
                self.causes.pop(incident.incident_id, None)
        for whale in whales:
            _log.warning(
                "WHALE ALERT %s %s%s in %s %s against a median of %s: %.1f sigma, SEV%d, trace %s",
                whale.details["side"] or whale.details["kind"],
                amount_text(whale.observed, whale.unit),
                worth_text(whale.details),
                whale.service_name,
                whale.operation,
                amount_text(whale.expected, whale.unit),
                whale.sigma,
                whale.severity,
                whale.trace_id,
            )
        return Found(spans.num_rows, len(grouped.anomalies), list(grouped.changed))

    def _valued(self, whale: Anomaly) -> Anomaly:
        """With what it is worth at the newest landed price."""
        worth = self.windows.market.prices.value_of(whale.unit, whale.observed)
        if worth is None:
            return whale
        value, quote = worth
        return replace(whale, details={**whale.details, "value": round(value, 2), "quote": quote})

    def _reload(self, now_s: float) -> None:
        """Start from what is stored: at first, and after a pass that could not be written."""
        self._shifts = ShiftWatch(self._settings)
        self.windows = Windows(self._store, self._baselines, self._settings, now_s)
        self.tracker = IncidentTracker(self._settings)
        self.tracker.open, self.causes = load_open(self._store, now_s)

    def _write(
        self,
        grouped: Grouped,
        moved: list[Anomaly],
        raised: list[Anomaly],
        positions: tuple[int, int],
        now_unix_nano: int,
    ) -> None:
        upto, signals = positions
        for attempt in range(_WRITE_TRIES):
            try:
                with self._store.transaction() as con:
                    _insert(con, grouped.anomalies, now_unix_nano)
                    _move(con, moved)
                    _raise(con, raised)
                    _promote(con, grouped)
                    save_incidents(con, grouped.changed.values(), self.causes)
                    _resolve(con, grouped, now_unix_nano)
                    save_position(con, _READER, upto, now_unix_nano)
                    save_position(con, _SIGNALS, signals, now_unix_nano)
                return
            except duckdb.TransactionException:
                # Somebody changed the state of one of these anomalies in the same moment.
                if attempt == _WRITE_TRIES - 1:
                    raise
                time.sleep(0.01 * 2**attempt)

    def _newest_signals(self, upto: int) -> int:
        """The newest landed batch of any signal."""
        newest = self._store.read("SELECT batch_id FROM landing_position")["batch_id"][0].as_py()
        return max(int(newest), upto)

    def _whales(self, amounts: pa.Table) -> tuple[list[Anomaly], list[Anomaly]]:
        """(new whales, known whales that were now seen in an enclosing span)."""
        if not self._settings.enable_amount_anomaly_detection:
            return [], []
        found = topmost(detect_amounts(amounts, self._baselines, self._settings))
        found = [self._valued(whale) for whale in found]
        if not found:
            return [], []
        known = self._store.read(
            load_sql(_QUERIES, "known_whales"), {"anomaly_ids": [whale.anomaly_id for whale in found]}
        ).to_pylist()
        place = {row["anomaly_id"]: (row["span_start_unix_nano"], -row["span_duration_ns"]) for row in known}
        new = [whale for whale in found if whale.anomaly_id not in place]
        moved = [
            whale
            for whale in found
            if whale.anomaly_id in place
            and (whale.span_start_unix_nano, -whale.span_duration_ns) < place[whale.anomaly_id]
        ]
        return new, moved


def with_shift(slow: list[Anomaly], shifted: Shifted) -> tuple[list[Anomaly], list[Anomaly]]:
    """(new anomalies, known ones that have become worse); one for each span, however it was found."""
    new = {anomaly.anomaly_id: anomaly for anomaly in [*slow, *shifted.new]}
    raised = []
    for anomaly in shifted.raised:
        if anomaly.anomaly_id in new:
            new[anomaly.anomaly_id] = anomaly
        else:
            raised.append(anomaly)
    return list(new.values()), raised


def span_counts(spans: pa.Table) -> dict[OperationKey, int]:
    """How many spans of each operation a batch holds."""
    counted = spans.group_by("operation_key").aggregate([([], "count_all")])
    keys = [split_key(key) for key in counted["operation_key"].to_pylist()]
    return dict(zip(keys, counted["count_all"].to_pylist(), strict=True))


def _rows(anomalies: list[Anomaly]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for anomaly in anomalies:
        row = {name: getattr(anomaly, name) for name in _COLUMNS}
        rows.append({**row, "details": json.dumps(dict(anomaly.details))})
    table = pa.Table.from_pylist(rows)
    # All-NULL columns have no type of their own.
    position = table.schema.get_field_index("incident_id")
    return table.set_column(position, "incident_id", pc.cast(table["incident_id"], pa.string()))


def _insert(con: duckdb.DuckDBPyConnection, anomalies: list[Anomaly], now_unix_nano: int) -> None:
    if anomalies:
        con.register("new_anomalies", _rows(anomalies))
        con.execute(load_sql(_QUERIES, "insert_anomalies"), {"now": now_unix_nano})
        con.unregister("new_anomalies")


def _move(con: duckdb.DuckDBPyConnection, moved: list[Anomaly]) -> None:
    if moved:
        con.register("moved_anomalies", _rows(moved))
        con.execute(load_sql(_QUERIES, "move_anomalies"))
        con.unregister("moved_anomalies")


def _raise(con: duckdb.DuckDBPyConnection, raised: list[Anomaly]) -> None:
    if raised:
        con.register("raised_anomalies", _rows(raised))
        con.execute(load_sql(_QUERIES, "raise_anomalies"))
        con.unregister("raised_anomalies")


def _promote(con: duckdb.DuckDBPyConnection, grouped: Grouped) -> None:
    if grouped.promoted:
        con.register("promoted_anomalies", _rows(grouped.promoted))
        con.execute(load_sql(_QUERIES, "promote_anomalies"))
        con.unregister("promoted_anomalies")


def _resolve(con: duckdb.DuckDBPyConnection, grouped: Grouped, now_unix_nano: int) -> None:
    ended = [i.incident_id for i in grouped.changed.values() if i.state == "resolved"]
    if ended:
        con.execute(load_sql(_QUERIES, "resolve_anomalies"), {"incident_ids": ended, "now": now_unix_nano})
