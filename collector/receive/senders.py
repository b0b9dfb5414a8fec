"""Remembers each sender, its accepted items, and the reasons of refusals.

Most exporters hide a refusal from their user. So each refusal is logged here, rate-limited, and `GET
/api/senders` and /readyz show it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import NamedTuple

from collector.signals import Signal
from collector.visible import visible

# Both keep the newest entries; older ones are in the log.
SENDERS_MAX = 256
PROBLEMS_PER_SENDER_MAX = 16
REPEAT_AFTER_S = 60.0  # the same problem of the same sender is one line a minute with the sum
LINES_PER_MINUTE_MAX = 30  # of all senders together
_RECENT_S = 3600.0
_SHOWN_CHARS = 300
_ITEMS = {Signal.TRACES: "spans", Signal.LOGS: "log records", Signal.METRICS: "data points"}

log = logging.getLogger(__name__)


class Sender(NamedTuple):
    """The identity of a sender. A port is no part of it, since it changes with each connection."""

    address: str = "unknown"
    agent: str = ""  # User-Agent
    transport: str = ""  # grpc, http/protobuf or http/json


@dataclass
class _Problem:
    count: int = 0
    last_s: float = 0.0
    logged_s: float = float("-inf")
    unlogged_count: int = 0


@dataclass
class _History:
    first_s: float
    last_s: float
    accepted: Counter[str] = field(default_factory=Counter)
    accepted_s: float | None = None
    problems: OrderedDict[tuple[str, str, str], _Problem] = field(default_factory=OrderedDict)


class Senders:
    """Thread-safe and bounded, for any names of senders."""

    def __init__(self, clock_s: Callable[[], float] = time) -> None:
        self._clock_s = clock_s
        self._guard = threading.Lock()
        self._known: OrderedDict[Sender, _History] = OrderedDict()
        self._minute_s = float("-inf")
        self._lines = 0

    def accepted(self, sender: Sender, signal: Signal, item_count: int) -> None:
        """Note what was acknowledged."""
        with self._guard:
            history = self._history(sender)
            history.accepted[signal.label] += item_count
            if item_count:
                history.accepted_s = history.last_s

    def rejected(self, sender: Sender, signal: Signal, reasons: Mapping[str, int]) -> None:
        """Note the items that were taken out of a request that was acknowledged."""
        for reason, count in reasons.items():
            self._complain(sender, signal.label, f"{_ITEMS[signal]} rejected", reason, count)

    def cut(self, sender: Sender, signal: Signal, places: Mapping[str, int]) -> None:
        """Note the values that were cut."""
        for place, count in places.items():
            self._complain(sender, signal.label, "values cut", place, count)

    def untimed(self, sender: Sender, signal: Signal, ways: Mapping[str, int]) -> None:
        """Note the items that came without a time."""
        for way, count in ways.items():
            self._complain(sender, signal.label, f"{_ITEMS[signal]} without time", way, count)

    def misplaced(self, sender: Sender, signal: Signal, reason: str) -> None:
        """Note a request that was acknowledged as empty, since what it holds belongs elsewhere."""
        self._complain(sender, signal.label, f"requests without {_ITEMS[signal]}", reason, 1)

    def refused(self, sender: Sender, signal: Signal | None, reason: str) -> None:
        """Note a request that was refused as a whole; `signal` None: it names none."""
        self._complain(sender, "" if signal is None else signal.label, "requests refused", reason, 1)

    def status(self) -> list[dict[str, object]]:
        """Newest first; times in UTC as ISO 8601."""
        with self._guard:
            return [
                {
                    **_named(sender),
                    "first_seen": _iso(history.first_s),
                    "last_seen": _iso(history.last_s),
                    "last_accepted": _iso(history.accepted_s),
                    "accepted": dict(history.accepted),
                    "problems": [
                        {
                            "signal": signal,
                            "what": what,
                            "reason": reason,
                            "count": problem.count,
                            "last_seen": _iso(problem.last_s),
                        }
                        for (signal, what, reason), problem in reversed(history.problems.items())
                    ],
                }
                for sender, history in reversed(self._known.items())
            ]

    def summary(self) -> dict[str, object]:
        """For /readyz: how many there are, and those with problems in the last hour."""
        since_s = self._clock_s() - _RECENT_S
        with self._guard:
            troubled = [
                {**_named(sender), "signal": signal, "what": what, "reason": reason, "count": problem.count}
                for sender, history in reversed(self._known.items())
                for (signal, what, reason), problem in history.problems.items()
                if problem.last_s >= since_s
            ]
            return {"count": len(self._known), "problems": troubled[:PROBLEMS_PER_SENDER_MAX]}

    def _history(self, sender: Sender) -> _History:
        now_s = self._clock_s()
        history = self._known.get(sender)
        if history is None:
            history = self._known[sender] = _History(now_s, now_s)
            if len(self._known) > SENDERS_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(sender)
            history.last_s = now_s
        return history

    def _complain(self, sender: Sender, signal: str, what: str, reason: str, count: int) -> None:
        shown = visible(reason[:_SHOWN_CHARS])
        with self._guard:
            history = self._history(sender)
            key = (signal, what, shown)
            problem = history.problems.setdefault(key, _Problem())
            history.problems.move_to_end(key)
            if len(history.problems) > PROBLEMS_PER_SENDER_MAX:
                history.problems.popitem(last=False)
            problem.count += count
            problem.unlogged_count += count
            problem.last_s = history.last_s
            if history.last_s - problem.logged_s < REPEAT_AFTER_S or not self._may_log(history.last_s):
                return
            told, problem.unlogged_count, problem.logged_s = problem.unlogged_count, 0, history.last_s
        log.warning("%s: %s%d %s: %s", _title(sender), f"{signal}: " if signal else "", told, what, shown)

    def _may_log(self, now_s: float) -> bool:
        if now_s - self._minute_s >= REPEAT_AFTER_S:
            self._minute_s, self._lines = now_s, 0
        self._lines += 1
        if self._lines == LINES_PER_MINUTE_MAX:
            log.warning("more refusals this minute are not logged one by one: see GET /api/senders")
        return self._lines < LINES_PER_MINUTE_MAX


def _title(sender: Sender) -> str:
    named = _named(sender)
    return f"sender {named['address']} ({', '.join(filter(None, (named['transport'], named['agent'])))})"


def _named(sender: Sender) -> dict[str, str]:
    return {name: visible(text[:_SHOWN_CHARS]) for name, text in sender._asdict().items()}


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
