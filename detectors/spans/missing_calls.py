"""Calls that are no longer made: of the spans of a calling operation, how many did not make a call.

- *missing*: a call that is nearly always made (98% of 500 spans). Judged by `detectors.stats.beta_binomial`.
- *fewer*: a call that only a part of the spans make, or that was seen less often, is now made at most a fifth
  as often. No single span is anomalous then. All spans of that stretch of time are, as far as calls are
  missing less often by chance (`detectors.scoring.forgone`).

The newest seconds are left out, because children may land later than their parents. When a service sent
nothing at all, calls of it are not reported as missing: they may have happened, and the silence itself is
reported by another detector.

>>> [round(float(least_share(usual)), 2) for usual in (0.0, 0.1, 0.6)]
[0.8, 0.82, 0.92]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stats.slots import SLOTS, last
from detectors.stream.batch import Batch, Operations

MISSING, FEWER = "missing", "fewer"
# The share that corresponds to a fifth of a call's usual share; no test where two of three spans lack the
# call.
_LEFT = 0.2
_MOST_USUAL = 2 / 3
RULES = {
    MISSING: Rule(min_trials=500, min_excess=0.1, lag_s=5, prior_rate=0.002),
    FEWER: Rule(min_trials=100, min_hits=10, min_ratio=1.2, min_excess=0.2, lag_s=5, prior_rate=0.002),
}
_ALWAYS = 0.98  # a call made less often than this is never *missing*
_BEGIN_S = 15  # after a start, the time until children land as completely as their callers
_EXPORT_S = 5  # exporters hold spans back this long: a newer second may still fill
_UNHEARD_SHARE = 0.5  # of a window: beyond it the service is silent, which is reported as such
_FORGONE_KEPT = 1_000
_NS = 1_000_000_000


class Forgone(NamedTuple):
    """A stretch of time in which a call was made improbably seldom.

    caller, callee: operation and the service it calls, empty where that is not known; usual: the share of the
    caller's spans that usually lack the call; without, spans: of the newest window that was found.
    """

    caller: tuple[Operation, str]
    callee: tuple[Operation, str]
    since_unix_nano: int
    until_unix_nano: int
    sigma: float
    usual: float
    without: int
    spans: int


class Missed(NamedTuple):
    """One pair whose window is improbable, at the start of its episode."""

    rule: str
    alarm: Alarm
    since_unix_nano: int
    until_unix_nano: int


def least_share(usual: FloatArray | float) -> FloatArray:
    """The least share of spans without a call at which the call is made a fifth as often as usual."""
    return np.asarray(1.0 - _LEFT * (1.0 - np.asarray(usual)), dtype=np.float64)


class MissingCalls:
    """Follows all pairs of a calling and a called operation. Not thread-safe; the caller maintains its rates.

    rates: of the spans without the call, one series a pair.
    forgone: the newest stretches.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.rates = Rates(RULES[MISSING])
        self.forgone: deque[Forgone] = deque(maxlen=_FORGONE_KEPT)
        self._judged_tick = -1
        self._until: dict[tuple[str, int], int] = {}  # when each (rule, pair) was found last
        self._service_of: IntArray = np.zeros(0, dtype=np.int64)  # service of each operation
        self._sent: FloatArray = np.zeros((16, SLOTS))  # spans of each service in each second of the ring

    def count(self, batch: Batch) -> None:
        """Count the spans that each service sent."""
        size = len(batch.operations.keys)
        fresh = [batch.operations.service(code) for code in range(len(self._service_of), size)]
        self._service_of = np.append(self._service_of, np.array(fresh, dtype=np.int64))
        while size and self._service_of.max() >= len(self._sent):
            self._sent = np.concatenate([self._sent, np.zeros_like(self._sent)])
        self._sent[:, batch.step.cleared] = 0
        np.add.at(self._sent, (self._service_of[batch.codes], batch.ticks % SLOTS), 1.0)

    def made(self, pairs: IntArray, parent_end: IntArray, head: int) -> None:
        """Note that these calls were made, so their callers do not lack them."""
        ticks = parent_end // _NS
        kept = np.flatnonzero((ticks > head - SLOTS) & (ticks <= head))
        self.rates.add(pairs[kept], ticks[kept], np.zeros(len(kept)), -np.ones(len(kept)))

    def judge(self, batch: Batch, pairs: Sequence[tuple[int, int]]) -> list[Missed]:
        """The pairs whose episode begins now; judged once per second of span time.

        Args:
            pairs: (calling operation, called operation) of each series.
        """
        head, rates = batch.head, self.rates
        if head == self._judged_tick:
            return []
        self._judged_tick = head
        past, without = rates.past_trials[: rates.count], rates.past_hits[: rates.count]
        always = (past >= RULES[MISSING].min_trials) & (without <= (1 - _ALWAYS) * past)
        often = ~always & (past >= RULES[FEWER].min_trials) & (without <= _MOST_USUAL * past)
        found = []
        for rule, codes in ((MISSING, np.flatnonzero(always)), (FEWER, np.flatnonzero(often))):
            silent = self._unheard(codes, batch, pairs)
            # Where many spans usually lack the call, seconds without it are learned too. Otherwise the call
            # would seem to be always made. Windows that are found are never learned.
            unknown = silent if rule == MISSING else np.broadcast_to(self._before(batch), silent.shape)
            rates.leave_out(codes, unknown)
            for alarm in rates.judge(codes, head, unknown, RULES[rule]):
                if rule == FEWER and alarm.hits < least_share(alarm.usual_rate) * alarm.trials:
                    continue
                missed = self._note(rule, alarm, head, pairs[alarm.code])
                known = self._until.get((rule, alarm.code), -1) >= head - WINDOWS_S[-1]
                self._until[rule, alarm.code] = head
                window = last(head, alarm.window_s, RULES[rule].lag_s)
                unheard = silent[int(np.searchsorted(codes, alarm.code)), window].mean() > _UNHEARD_SHARE
                if not known and not unheard:  # one report for as long as it lasts
                    found.append(missed)
        return found

    def _note(self, rule: str, alarm: Alarm, head: int, pair: tuple[int, int]) -> Missed:
        until = (head - RULES[rule].lag_s + 1) * _NS
        since = until - alarm.window_s * _NS
        caller, callee = ((self._operations.keys[code], self._operations.callees[code]) for code in pair)
        self.forgone.append(
            Forgone(caller, callee, since, until, alarm.sigma, alarm.usual_rate, alarm.hits, alarm.trials)
        )
        return Missed(rule, alarm, since, until)

    def _unheard(
        self, codes: IntArray, batch: Batch, pairs: Sequence[tuple[int, int]]
    ) -> npt.NDArray[np.bool_]:
        """The seconds without spans of the called service, their neighbours, and the first after a start.

        Calls that left no span may have happened: exporters drop batches, and calls from before a restart
        landed before it.
        """
        called = np.array([pairs[code][1] for code in codes.tolist()], dtype=np.int64)
        silent = np.asarray(self._sent[self._service_of[called]] == 0, dtype=np.bool_)
        silent |= np.roll(silent, 1, axis=1) | np.roll(silent, -1, axis=1)
        silent |= self._before(batch)
        ticks = np.arange(batch.head - _EXPORT_S + 1, batch.head + 1)
        silent[:, ticks % SLOTS] = False  # seconds that are still to come
        return silent

    def _before(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """The first seconds after a start of this process."""
        found = np.zeros(SLOTS, dtype=np.bool_)
        ticks = np.arange(batch.head - SLOTS + 1, batch.head - _EXPORT_S + 1)
        found[ticks[ticks < batch.begun + _BEGIN_S] % SLOTS] = True
        return found
