"""One pass of detection: landed batches in, anomalies, incidents and the new position out, in one commit."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.baseline.persist import read_position, save_positions
from detectors.incidents.difference_store import save_differences
from detectors.incidents.lone_filter import HeldBack
from detectors.incidents.store import load_open, save_causes, save_incidents
from detectors.incidents.tracker import Grouped, Incident, IncidentTracker, OperationKey
from detectors.localise import Analysis
from detectors.model.anomaly import Anomaly
from detectors.model.text import amount_text, worth_text
from detectors.orders.amount import detect_amounts, topmost
from detectors.pipeline.landed import Landed, Position, StoredSpans
from detectors.pipeline.windows import Windows
from detectors.settings import Settings
from detectors.spans.latency import detect_latency
from detectors.spans.latency_shift import Shifted, ShiftWatch
from detectors.spans.nested import EnclosingWatch
from detectors.spans.speedup import FasterWatch
from detectors.stream.batch_ranges import chunks
from detectors.stream.set_aside import SetAside
from detectors.stream.span_groups import group_spans, split_key

_QUERIES = "detectors.pipeline.queries"
_READER = "detect"
_SIGNALS = "signals"  # logs and metrics
_WRITE_TRIES = 5
# A pass that found nothing has only its positions to write, 6 ms: they may lag by so much. After a crash
# these batches are judged once more, which changes nothing.
_POSITION_EVERY_S = 2.0
# The rest of a row, times and state, comes from the pass.
_COLUMNS = [f.name for f in fields(Anomaly) if f.name != "details"]
_STATES = "SELECT incident_id, state FROM incidents WHERE incident_id IN (SELECT unnest(?::VARCHAR[]))"
_log = logging.getLogger("spyhop.detectors")


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass wrote."""

    span_count: int
    anomaly_count: int
    incident_ids: list[str]


class Detection:
    """Judges batches in order. The pipeline's thread owns it, but for `record`, which any may call."""

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        settings: Settings,
        now_s: float,
        set_aside: SetAside | None = None,
        *,
        landed: Landed | None = None,
        position_every_s: float = _POSITION_EVERY_S,
    ) -> None:
        """
        Args:
            landed: where spans come from, when not from the store.
            position_every_s: how far the stored position may lag behind passes that found nothing.
        """
        self._store = store
        self._set_aside = set_aside or SetAside(store)
        self._source = landed or StoredSpans(store)
        self._baselines = baselines
        self._settings = settings
        self.position = read_position(store, _READER)
        self._landed: Position = {}  # as of the last pass
        # A folder of an older Spyhop has logs and metrics that nobody followed: they are not caught up with.
        self.signal_position = read_position(store, _SIGNALS) or _newest(self._source.position(0))
        self._judged_total = 0  # of all landed spans, about how many have been judged; 0: not known
        self._ahead: Position | None = None  # what `ranges` saw, for the pass after it
        self._promised = (-1, 0)  # what it will be once the batches up to here are judged
        self._saved = (self.position, self.signal_position)
        self._saved_s = now_s
        self._position_every_s = position_every_s
        # Held by whoever writes rows of incidents: two transactions that update one row conflict.
        self.writing = threading.Lock()
        self.causes: dict[str, list[dict[str, Any]]] = {}  # of open incidents; guarded by `writing`
        self._reload(now_s)

    def ranges(self, upto: int) -> list[tuple[int, int]]:
        """The batches that are to be judged, as ranges of a size that one pass may take."""
        self._ahead = self._source.position(upto)
        total = self._ahead["span_count"] or 0
        fresh = total - self._judged_total
        self._promised = (upto, total)
        if self._judged_total and 0 < fresh <= self._settings.detect_chunk_spans and self.position < upto:
            return [(self.position, upto)]  # as nearly always; counting them by batch costs 2 ms more
        return chunks(self._store, self.position, upto, self._settings)

    def judge(
        self,
        after: int,
        upto: int,
        now_s: float,
        now_unix_nano: int,
        clock_ns: Callable[[], int] | None = None,
    ) -> Found:
        """Judge the batches in (after, upto].

        Args:
            now_s, now_unix_nano: when the pass began.
            clock_ns: tells when its rows are written; None: as it began.
        """
        with_amounts = self._settings.enable_amount_anomaly_detection
        names = self._baselines.names_with_amounts() if with_amounts else []
        spans, amounts = self._source.spans(after, upto, names)
        try:
            return self._judge(spans, amounts, upto, now_s, now_unix_nano, clock_ns)
        except BaseException:
            # The batches will be judged again: what memory has made of them must not count twice.
            self._reload(now_s)
            raise

    def _judge(  # noqa: PLR0917  # as `judge`
        self,
        spans: pa.Table,
        amounts: pa.Table,
        upto: int,
        now_s: float,
        now_unix_nano: int,
        clock_ns: Callable[[], int] | None,
    ) -> Found:
        groups = group_spans(spans, self._baselines)
        alone = detect_latency(spans, self._baselines, self._settings, groups)
        slow, raised = with_shift(alone, self._shifts.observe(spans, groups, now_s))
        least = self._held.count(spans.num_rows, now_s)
        enclosing = self._enclosing.observe(spans, groups, alone, least)
        self.windows.hold(self.tracker.troubled())
        windowed, worse = self.windows.observe(spans, now_s, groups)
        raised += worse
        windowed += self.faster.observe(spans, groups, now_s, windowed)
        windowed += self.windows.observe_orders(amounts)
        whales, moved = self._whales(amounts)
        landed, self._ahead = self._ahead or self._source.position(upto), None
        signals = max(_newest(landed), upto)
        windowed += self._of_signals(landed, signals)
        counts = groups.counts()
        self.tracker.still_grows(self.windows.growing(), now_s)
        grouped = self.tracker.observe(now_s, now_unix_nano, counts, [*slow, *whales, *windowed], raised)
        raised, held = self._held.settle(grouped, raised, enclosing, least, now_s)
        for whale in moved:
            if incident := self.tracker.moved(whale):
                grouped.changed[incident.incident_id] = incident
        if grouped.anomalies or grouped.changed or moved or raised or held or self._is_due(now_s):
            written_ns = clock_ns() if clock_ns else now_unix_nano
            self._write(grouped, moved, raised, (upto, signals), written_ns, held=held)
            self._saved, self._saved_s = (upto, signals), now_s
        self.position, self.signal_position, self._landed = upto, signals, landed
        if upto == self._promised[0]:
            self._judged_total = self._promised[1]
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

    def _of_signals(self, landed: Position, upto: int) -> list[Anomaly]:
        """Anomalies of logs and metrics up to a batch. None of them can stop the spans."""
        lines = self._has_new(landed, "logs_batch_id", "log_count")
        points = self._has_new(landed, "metrics_batch_id", "metric_point_count")
        found: list[Anomaly] = []
        self._set_aside.read(
            _SIGNALS,
            (self.signal_position, upto),
            lambda after, last: found.extend(
                self.windows.observe_signals(after, last, lines=lines, points=points)
            ),
            self._batches_of_signals,
            lambda _: None,
            tries=1,
        )
        return found

    def _batches_of_signals(self, after: int, upto: int) -> list[int]:
        rows = self._store.read(load_sql(_QUERIES, "batches_of_signals"), {"after": after, "upto": upto})
        return [int(batch_id) for batch_id in rows["batch_id"].to_pylist()]

    def pass_over(self, batch_id: int) -> None:
        """Go on behind a batch that cannot be judged."""
        self.position = batch_id

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
        self._enclosing = EnclosingWatch()
        self._held = HeldBack(self._settings)
        self.faster = FasterWatch(self._settings)
        self.windows = Windows(self._store, self._baselines, self._settings, now_s)
        self.tracker = IncidentTracker(self._settings)
        with self.writing:
            self.tracker.open, self.causes = load_open(self._store, now_s)

    def _write(
        self,
        grouped: Grouped,
        moved: list[Anomaly],
        raised: list[Anomaly],
        positions: tuple[int, int],
        now_unix_nano: int,
        *,
        held: Sequence[Anomaly] = (),
    ) -> None:
        upto, signals = positions
        again = False  # whether some of it was written before
        for attempt in range(_WRITE_TRIES):
            try:
                with self.writing, self._store.transaction() as con:
                    _insert(con, grouped.anomalies, now_unix_nano, again=again)
                    self._held.save(con, held, now_unix_nano)
                    _move(con, moved)
                    _raise(con, raised)
                    _promote(con, grouped)
                    save_incidents(con, grouped.changed.values(), self.causes)
                    _resolve(con, grouped, now_unix_nano)
                    save_positions(con, {_READER: upto, _SIGNALS: signals}, now_unix_nano)
                break
            except duckdb.ConstraintException:
                if again or attempt == _WRITE_TRIES - 1:
                    raise
                again = True
            except duckdb.TransactionException:
                # Somebody changed the state of one of these anomalies in the same moment.
                if attempt == _WRITE_TRIES - 1:
                    raise
                time.sleep(0.01 * 2**attempt)
        with self.writing:
            ended = self.causes.keys() - self.tracker.open.keys()
            for incident_id in ended:
                del self.causes[incident_id]

    def record(self, incident: Incident, analysis: Analysis) -> bool:
        """Store what was found behind an incident, by any thread; False where the incident is not stored.

        Args:
            incident: a snapshot of it.
        """
        with self.writing:
            with self._store.transaction() as con:
                if not save_causes(con, incident, analysis.causes):
                    return False
                save_differences(con, {incident.incident_id: analysis.differences})
            self.causes[incident.incident_id] = analysis.causes  # what detection writes of it says the same
        return True

    def save_positions(self, now_unix_nano: int) -> None:
        """Store how far detection has come, where a quiet pass has not."""
        if self._saved != (self.position, self.signal_position):
            self._write(Grouped(), [], [], (self.position, self.signal_position), now_unix_nano)
            self._saved = (self.position, self.signal_position)

    def _is_due(self, now_s: float) -> bool:
        return now_s - self._saved_s >= self._position_every_s

    def _has_new(self, landed: Position, newest: str, total: str) -> bool:
        """Whether rows of a signal have landed since its position, recent ones or such as are sealed."""
        return (landed.get(newest) or 0) > self.signal_position or landed[total] != self._landed.get(total)

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


def _newest(landed: Position) -> int:
    """The newest landed batch of any signal."""
    return int(landed["batch_id"] or 0)


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


def _insert(
    con: duckdb.DuckDBPyConnection, anomalies: list[Anomaly], now_unix_nano: int, *, again: bool
) -> None:
    if anomalies:
        joined = sorted({a.incident_id for a in anomalies if a.incident_id})
        known = dict(con.execute(_STATES, [joined]).fetchall()) if joined else {}
        states = pa.array([known.get(a.incident_id, "open") for a in anomalies], pa.string())
        con.register("new_anomalies", _rows(anomalies).append_column("state", states))
        sql = load_sql(_QUERIES, "insert_anomalies")
        con.execute(
            sql + load_sql(_QUERIES, "keep_known_anomalies") if again else sql, {"now": now_unix_nano}
        )
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
