"""Writes what detection found: rows, state and positions in one commit, under the one lock of these rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from collector.errors import Conflict
from collector.store.store import Store
from detectors.baseline.persist import save_positions
from detectors.incidents.difference_store import save_differences
from detectors.incidents.incident import Incident
from detectors.incidents.lone_filter import forget_held, save_held
from detectors.incidents.store import load_open, save_causes, save_incidents
from detectors.incidents.tracker import Grouped
from detectors.localise import Analysis
from detectors.model.anomaly import Anomaly
from detectors.pipeline import anomaly_rows, checkpoint
from detectors.stream.detector import State

_FORGET_EVERY_NS = 3_600_000_000_000


@dataclass(slots=True)
class Outcome:
    """The results of a pass that are to be stored.

    span_count: how many were judged; held: slow spans that are no anomalies; state: of detectors.
    open_ids: the incidents that go on.
    """

    positions: Mapping[str, int]
    span_count: int = 0
    grouped: Grouped = field(default_factory=Grouped)
    moved: Sequence[Anomaly] = ()
    raised: Sequence[Anomaly] = ()
    held: Sequence[Anomaly] = ()
    state: Sequence[State] = ()
    open_ids: frozenset[str] = frozenset()


class Writer:
    """Holds the lock of rows: two transactions that update one row conflict. Any thread may call it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.causes: dict[str, list[dict[str, Any]]] = {}  # of open incidents; guarded by the lock
        self._forgot_ns = 0

    def load_open(self, now_s: float) -> dict[str, Incident]:
        """The stored incidents that have not ended."""
        with self._lock:
            incidents, self.causes = load_open(self._store, now_s)
        return incidents

    def write(self, outcome: Outcome, now_unix_nano: int) -> None:
        """Store the results of a pass: all or, with an error, none."""
        self.write_all([(outcome, now_unix_nano)])

    def write_all(self, passes: Sequence[tuple[Outcome, int]]) -> None:
        """Store the results of several passes, each with its time, in one transaction."""
        try:
            self._write(passes, again=False)
        except duckdb.ConstraintException:  # some of it was written before
            self._write(passes, again=True)
        with self._lock:
            for incident_id in self.causes.keys() - passes[-1][0].open_ids:
                del self.causes[incident_id]

    def record(self, incident: Incident, analysis: Analysis) -> bool:
        """Store the causes of an incident; False where the incident is not stored.

        Args:
            incident: a snapshot of it.
        """
        with self._lock:
            with self._store.transaction() as con:
                if not save_causes(con, incident, analysis.causes):
                    return False
                save_differences(con, {incident.incident_id: analysis.differences})
            self.causes[incident.incident_id] = analysis.causes  # detection writes the same
        return True

    def change(self, write: Callable[[Store], dict[str, Any]]) -> dict[str, Any]:
        """Write a person's decision on a row; returns the row.

        Raises:
            Conflict: somebody keeps changing the same rows.
        """
        with self._lock:
            try:
                return write(self._store)
            except duckdb.TransactionException as error:
                raise Conflict("the rows are being updated", hint="try again") from error

    def _write(self, passes: Sequence[tuple[Outcome, int]], *, again: bool) -> None:
        def write(con: duckdb.DuckDBPyConnection) -> None:
            for outcome, now_unix_nano in passes:
                self._write_pass(con, outcome, now_unix_nano, again=again)

        with self._lock:
            self._store.change(write)

    def _write_pass(
        self, con: duckdb.DuckDBPyConnection, outcome: Outcome, now_unix_nano: int, *, again: bool
    ) -> None:
        grouped = outcome.grouped
        anomaly_rows.insert(con, grouped.anomalies, now_unix_nano, again=again)
        save_held(con, outcome.held, now_unix_nano)
        if outcome.held and now_unix_nano - self._forgot_ns >= _FORGET_EVERY_NS:
            forget_held(con, now_unix_nano)
            self._forgot_ns = now_unix_nano
        anomaly_rows.move(con, outcome.moved)
        anomaly_rows.raise_known(con, outcome.raised)
        anomaly_rows.promote(con, grouped.promoted)
        save_incidents(con, grouped.changed.values(), self.causes)
        ended = [i.incident_id for i in grouped.changed.values() if i.state == "resolved"]
        anomaly_rows.resolve(con, ended, now_unix_nano)
        checkpoint.write(con, outcome.state, now_unix_nano)
        save_positions(con, dict(outcome.positions), now_unix_nano)
