"""Measures the age of the oldest record that has not landed, and whether landing falls behind for good."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from collector.wal.segment import Position

# Landing does not catch up if it was behind for this long and the backlog has not become smaller. Catching up
# from a full spool of 1 GiB takes 35 s, and its backlog shrinks.
LAG_MAX_S = 60.0
_NOTE_INTERVAL_S = 0.5
_NOTES_MAX = 1_000  # beyond, every second note is dropped: an hour is known to 4 s, a day to 90


class _Note(NamedTuple):
    when_s: float
    end: Position  # of what was durable then
    backlog_bytes: int


class LagWatch:
    """Remembers when the spool reached which length. Two threads may use it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._notes: deque[_Note] = deque()  # notes with records that have not landed; oldest first

    def note(self, now_s: float, end: Position, backlog_bytes: int) -> None:
        """Note the spool's length. Call it regularly, whatever landing does.

        Args:
            now_s: monotonic time.
            end: end of the durable records.
            backlog_bytes: the part of them that has not landed.
        """
        with self._guard:
            if self._notes and now_s - self._notes[-1].when_s < _NOTE_INTERVAL_S:
                return
            self._notes.append(_Note(now_s, end, backlog_bytes))
            if len(self._notes) > _NOTES_MAX:
                self._notes = deque(list(self._notes)[::2])

    def lag_s(self, now_s: float, landed: Position) -> float:
        """Age of the oldest noted record that has not landed; 0 when all has landed."""
        with self._guard:
            while self._notes and self._notes[0].end <= landed:
                self._notes.popleft()
            return now_s - self._notes[0].when_s if self._notes else 0.0

    def failure(self, now_s: float, landed: Position) -> str:
        """Why landing counts as stuck or too slow; empty when it is neither."""
        lag_s = self.lag_s(now_s, landed)
        if lag_s <= LAG_MAX_S:
            return ""
        with self._guard:
            earlier = [note for note in self._notes if note.when_s <= now_s - LAG_MAX_S]
            if self._notes[-1].backlog_bytes < earlier[-1].backlog_bytes:
                return ""
            waiting_bytes = self._notes[-1].backlog_bytes
        return (
            f"landing is {lag_s:.0f} s behind and has not caught up for {LAG_MAX_S:.0f} s;"
            f" {waiting_bytes:,} bytes wait in the spool"
        )
