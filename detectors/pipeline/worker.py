"""The worker inside `spyhop serve`: waits for landed spans, judges them, learns; localises beside that."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import duckdb

from collector.errors import SpyhopError
from collector.store.store import Store
from detectors.baseline.form_store import load_forms
from detectors.baseline.models import Baselines
from detectors.baseline.persist import load_book
from detectors.incidents import rows
from detectors.incidents.causes import CauseFinder
from detectors.incidents.groups import set_group_state
from detectors.incidents.worker import CauseWorker
from detectors.learning.learner import Learner
from detectors.pipeline.detection import Detection, Found
from detectors.settings import Settings
from detectors.stream.batch_ranges import batch_ids, span_batches
from detectors.stream.set_aside import SetAside

_WAIT_S = 0.25  # also how soon a stop and a due learning pass are noticed
_PAUSE_AFTER_ERROR_S = 1.0
_QUIET_PASS_S = 2.0  # longest pause between two passes: incidents must end although no span lands
# Detection waits while learning goes on. On a saturated machine a learning pass takes longer than the pause
# between two, and every pass of detection would wait for one.
_LEARN_REST = 5.0  # a pause of learning is this many times as long as the last pass
_log = logging.getLogger("spyhop.detectors")


class Pipeline:
    """A `Worker`: one thread that owns detection and learning; `baselines` may be read by any thread.

    Root causes are found by a second thread (`detectors.incidents.worker`), so that nothing waits for them.
    While the worker is not started, a pass finds them itself.
    """

    name = "detection"

    def __init__(
        self,
        store: Store,
        settings: Settings | None = None,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or Settings()
        self._store = store
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self.baselines = Baselines(self.settings, load_book(store), load_forms(store))
        self._set_aside = SetAside(store, clock_ns)
        self.detection = Detection(store, self.baselines, self.settings, monotonic_s(), self._set_aside)
        self.learner = Learner(
            store, self.baselines, self.settings, self.detection.detectors, self._set_aside
        )
        # What an earlier run judged and did not learn counts as judged now.
        self.learner.note_judged(self.detection.position, monotonic_s())
        self.causes = CauseFinder(store, self.baselines, self.detection.writer.record, monotonic_s)
        self._cause_worker = CauseWorker(self.causes, monotonic_s)
        self._pass = threading.Lock()  # a pass and a recalculation exclude each other
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._passed_s = monotonic_s()
        self._learn_due_s = monotonic_s() + self.settings.detect_learn_interval_s
        self._begun_s = -math.inf  # the last pass over what landed
        self._figures: dict[str, Any] = {
            "span_count": 0,
            "anomaly_count": 0,
            "last_pass_ms": 0.0,
            "last_learn_ms": 0.0,
            "error": None,
        }

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="detection", daemon=True)
        self._cause_worker.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Judge what has landed, then return; what is not learned yet is learned by the next run."""
        deadline_s = time.monotonic() + timeout_s
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._cause_worker.stop(max(deadline_s - time.monotonic(), 0.0))

    def status(self) -> dict[str, object]:
        newest = self._store.newest_traces_batch_id
        return {
            "position": self.detection.position,
            "newest_batch_id": newest,
            "lag_batches": max(newest - self.detection.position, 0),
            "learn_position": self.learner.position,
            "operations": self.baselines.counts(),
            "windows": self.detection.detectors.status,
            "localisation": self._cause_worker.status(),
            "set_aside": self._set_aside.status(),
            "incident_resolve_s": self.settings.incident_resolve_s,
            **self._figures,
            "error": self._figures["error"] or self._cause_worker.error,
        }

    def gathering_s(self) -> float:
        """How long landed batches should gather until the next pass; 0 after a pause."""
        due_s = self._begun_s + self.settings.detect_interval_ms / 1e3
        return max(due_s - self._monotonic_s(), 0.0)

    def judge_landed(self, upto_batch_id: int) -> int:
        """Judge everything up to this batch; returns how many anomalies were found."""
        before = self._figures["anomaly_count"]
        self._begun_s = self._monotonic_s()
        with self._pass:
            for span in self.detection.ranges(upto_batch_id):
                self._set_aside.read("detect", span, self._judge, self._batches, self.detection.pass_over)
            self._passed_s = self._monotonic_s()
            self._localise()
        return int(self._figures["anomaly_count"] - before)

    def _judge(self, after: int, upto: int) -> None:
        began_s = self._monotonic_s()
        found = self.detection.judge(after, upto, began_s, self._clock_ns(), self._clock_ns)
        ended_s = self._monotonic_s()
        self.learner.note_judged(upto, ended_s)
        self._hand_over(found)
        self._figures["span_count"] += found.span_count
        self._figures["anomaly_count"] += found.anomaly_count
        self._figures["last_pass_ms"] = round((ended_s - began_s) * 1e3, 2)

    def _batches(self, after: int, upto: int) -> list[int]:
        return batch_ids(span_batches(self._store, after, upto))

    def end_quiet_incidents(self) -> None:
        """A pass without spans: time alone ends incidents, and late spans may have changed causes."""
        with self._pass:
            position = self.detection.position
            now_s, now_ns = self._monotonic_s(), self._clock_ns()
            self._hand_over(self.detection.judge(position, position, now_s, now_ns, self._clock_ns))
            self._passed_s = self._monotonic_s()
            self._localise()

    def _hand_over(self, found: Found) -> None:
        """Snapshots of the incidents that this pass has stored, since later passes change them."""
        incidents = self.detection.tracker.open
        going_on = [incidents[i].snapshot() for i in found.incident_ids if i in incidents]
        self.causes.ended(i for i in found.incident_ids if i not in incidents)
        self.causes.changed(going_on, self._monotonic_s())
        if going_on:
            self._cause_worker.wake()

    def _localise(self) -> None:
        if self._thread is None:
            self.causes.find(self._monotonic_s())

    def learn_settled(self) -> int:
        """Learn what has settled; returns how many sketch rows were added."""
        with self._pass:
            settled = self.learner.settled_batch_id(self._monotonic_s())
            now_s = self._monotonic_s()
            waited = self.detection.detectors.waits_to_learn(now_s - self.settings.detect_learn_delay_s)
            added = self.learner.take(waited, self._clock_ns())
            added += self.learner.learn(settled, self._clock_ns())
            took_s = self._monotonic_s() - now_s
            self._figures["last_learn_ms"] = round(took_s * 1e3, 2)
            self._learn_due_s = now_s + max(self.settings.detect_learn_interval_s, (1 + _LEARN_REST) * took_s)
            return added

    def set_anomaly_state(self, anomaly_id: str, state: object, said_by: str | None = None) -> dict[str, Any]:
        """Store a person's decision on an anomaly; its incident follows when all its anomalies agree."""
        with self._pass:
            row = self.detection.writer.change(
                lambda store: rows.set_anomaly_state(store, anomaly_id, state, self._clock_ns(), said_by)
            )
            if row["incident"]:
                self._follow(row["incident"])
        return row

    def set_group_state(self, group_id: str, state: object, said_by: str | None = None) -> dict[str, Any]:
        """Store a person's decision on all anomalies of an operation; an incident without others follows."""
        with self._pass:
            changed = self.detection.writer.change(
                lambda store: set_group_state(store, group_id, state, self._clock_ns(), said_by)
            )
            if changed["incident_id"] is not None:
                self._follow(rows.get_incident(self._store, changed["incident_id"]))
        return changed

    def set_incident_state(
        self, incident_id: str, state: object, said_by: str | None = None
    ) -> dict[str, Any]:
        """Store a person's decision on an incident. A resolved one is over: later trouble is a new incident.

        One that is opened again stays open until a person resolves it.
        """
        with self._pass:
            row = self._set_incident_state(incident_id, state, said_by)
            self._follow(row)
        return row

    def expect_incident(self, incident_id: str, said_by: str | None) -> dict[str, Any]:
        """An engineer says that an incident is what is normal now: adopted at once, and the incident is over.

        What has ended already is added to the baselines; what lasts takes their place.
        """
        with self._pass:
            incident = rows.get_incident(self._store, incident_id)
            position = self.detection.position
            adopted = self.learner.expect(incident, said_by, position, self._clock_ns())
            row = self._set_incident_state(incident_id, "resolved", said_by)
            self._follow(row)
        return {"incident": row, "adopted": adopted}

    def _set_incident_state(self, incident_id: str, state: object, said_by: str | None) -> dict[str, Any]:
        return self.detection.writer.change(
            lambda store: rows.set_incident_state(store, incident_id, state, self._clock_ns(), said_by)
        )

    def _follow(self, incident: dict[str, Any]) -> None:
        if incident["state"] == "resolved":
            self.detection.tracker.end(incident["incident_id"], self._monotonic_s())
            self.causes.ended([incident["incident_id"]])
        else:
            self.detection.tracker.reopened(incident["incident_id"])

    def recalculate(self) -> dict[str, int]:
        """Learn all stored spans again, without flagged samples; blocks until done."""
        with self._pass:
            return self.learner.relearn(self._clock_ns())

    def _run(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            try:
                self.work(0.0 if stopping else _WAIT_S)
                self._figures["error"] = None
            except Exception as error:
                # One bad pass must not end detection; it is tried again and stays visible on /readyz.
                self._figures["error"] = f"{type(error).__name__}: {error}"
                _log.exception("detection pass failed")
                self._stopping.wait(_PAUSE_AFTER_ERROR_S)
            if stopping:
                self.save()
                return

    def save(self) -> None:
        """Spans whose result is not stored are judged and learned again by the next run."""
        try:
            with self._pass:
                self.detection.save(self._monotonic_s(), self._clock_ns())
        except (SpyhopError, duckdb.Error) as error:
            _log.warning("the state of detection could not be stored at the end: %s", error)

    def work(self, wait_s: float) -> None:
        newest = self._store.wait_landed(self.detection.position, wait_s)
        if newest > self.detection.position:
            self._stopping.wait(self.gathering_s())
            self.judge_landed(self._store.newest_traces_batch_id)
        elif self._monotonic_s() - self._passed_s >= _QUIET_PASS_S:
            self.end_quiet_incidents()
        if self._monotonic_s() >= self._learn_due_s:
            self._learn_due_s = self._monotonic_s() + self.settings.detect_learn_interval_s  # if it fails
            self.learn_settled()
