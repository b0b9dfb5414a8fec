"""Explains bad incidents as they open and grow, so that the text is there before somebody looks.

One thread, one incident after the other. The queue is a query, worst first, so that nothing is lost by a
restart and a flood of incidents costs a bounded look. What an explanation costs is the explainer's business:
the stored one stands until its incident has outgrown it, and a model has its limits an hour.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from collector.errors import SpyhopError
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.explanation import Subject
from llm.service import Explainer

QUEUE_INCIDENTS = 1_000  # incidents that are looked at each time; the others are less severe, or older
_LOOK_EVERY_S = 2.0  # the query takes 2 ms over 10,000 incidents
# A pause is this many times as long as the last explanation took: detection goes first.
_REST_EXPLANATIONS = 3.0
_REST_MAX_S = 10.0
# An incident that grows is explained anew at most this often: its first seconds are its liveliest.
_AGAIN_AFTER_S = 15.0
_SETTLED_AFTER_NS = 5_000_000_000  # an incident without causes by then has none
_SEEN_WITHIN_NS = 24 * 3600 * 1_000_000_000
_REMEMBERED = 10_000
_log = logging.getLogger("spyhop.llm")


class AutomaticExplainer:
    """A worker of the server. `max_severity` is the mildest severity that is explained; 0 explains none."""

    name = "explanations"

    def __init__(
        self,
        store: Store,
        explainer: Explainer,
        max_severity: int,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._explainer = explainer
        self._max_severity = max_severity
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._done: OrderedDict[str, tuple[Any, float]] = (
            OrderedDict()
        )  # its state, and when it was explained
        self._explained = 0
        self._waiting = 0
        self._error: str | None = None

    def start(self) -> None:
        if self._max_severity:
            self._thread = threading.Thread(target=self._run, name="explanations", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish the incident under way; waiting ones are explained when the server is back."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def status(self) -> dict[str, object]:
        return {
            "explained_count": self._explained,
            "waiting": self._waiting,
            "error": self._error,
        }

    def look(self) -> bool:
        """Explain the worst incident that waits. Returns whether there was one."""
        now_s = self._monotonic_s()
        due = [row for row in self.candidates() if self._is_due(row, now_s)]
        self._waiting = len(due)
        if not due:
            return False
        row = due[0]
        incident_id = str(row["incident_id"])
        # Noted before it is tried, so that one that cannot be explained does not keep the others waiting.
        self._done[incident_id] = (_form(row), now_s)
        self._done.move_to_end(incident_id)
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        try:
            self._explainer.analyse(Subject(kind="incident", id=incident_id))
        except SpyhopError as error:
            self._error = str(error)
            _log.warning("incident %s was not explained: %s", incident_id, error)
        else:
            self._error = None
            self._explained += 1
        return True

    def candidates(self) -> list[dict[str, Any]]:
        now_ns = self._clock_ns()
        parameters = {
            "severity": self._max_severity, "limit": QUEUE_INCIDENTS,
            "since": now_ns - _SEEN_WITHIN_NS, "settled": now_ns - _SETTLED_AFTER_NS,
        }  # fmt: skip
        rows: list[dict[str, Any]] = self._store.read(
            load_sql("llm.queries", "automatic_candidates"), parameters
        ).to_pylist()
        return rows

    def _is_due(self, row: dict[str, Any], now_s: float) -> bool:
        form, explained_s = self._done.get(str(row["incident_id"]), (None, -_AGAIN_AFTER_S))
        return form != _form(row) and now_s - explained_s >= _AGAIN_AFTER_S

    def _run(self) -> None:
        rest_s = _LOOK_EVERY_S
        while not self._stopping.wait(rest_s):
            began_s = self._monotonic_s()
            try:
                was_one = self.look()
            except Exception as error:  # the thread lives on: the next look may succeed
                self._error = f"{type(error).__name__}: {error}"
                _log.exception("looking for incidents to explain failed")
                was_one = False
            took_s = self._monotonic_s() - began_s
            rest_s = min(took_s * _REST_EXPLANATIONS, _REST_MAX_S) if was_one else _LOOK_EVERY_S


def _form(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["severity"], row["anomaly_count"], row["said"]
