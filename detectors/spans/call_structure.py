"""Calls that were never made before, made too often, or missing: rates of odd parents, as of failed calls.

For each pair of a calling and a called operation, a window counts these spans of the calling operation:
- *path*: spans that made a call which its history (500 spans or more) practically never shows;
- *calls*: of the spans that made the call, those that made it at least twice as often as the median,
  and at least once more (N+1 queries, retries, messages delivered twice);
- *more*: spans that called more often than the median, where each number is one that many spans reach at any
  time: caches that went cold. SEV4 at most; it opens no incident and is reported once while it lasts;
- *missing* and *fewer*: spans that did not make a call that is nearly always, or often, made
  (`missing_calls`).
Each is a share k of n, judged by sigma = Phi^-1(1 - L * P(BetaBinomial(n, alpha, beta) >= k)) as in
`detectors.stats.beta_binomial`. The anomalies are spans of the window: the first repeated or new child, or
the parent that lacks the call.

>>> excessive(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 5.0]))
array([False,  True, False])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.model.anomaly import STRUCTURE, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share
from detectors.model.text import share_text
from detectors.settings import Settings
from detectors.spans.missing_calls import FEWER, MISSING, MissingCalls
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stream.batch import Batch, Operations
from detectors.stream.callers import CallerShares
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import Exemplars, window_anomaly
from detectors.stream.rate_rows import TABLE, rate_row, rate_state, rates_of
from detectors.stream.span_join import Kin, Kinship, calls

PATH, CALLS, MORE = "path", "calls", "more"
_RULES = {
    PATH: Rule(min_trials=500, min_excess=0.05, prior_rate=0.0005),
    CALLS: Rule(min_trials=100, min_excess=0.05, prior_rate=0.002),
    MORE: Rule(min_trials=300, min_hits=20, min_ratio=1.5, min_excess=0.3, prior_rate=0.25),
}
_NEVER = 0.001  # a path taken more often than this is known
_SELDOM = 0.2  # a missing call opens no incident when more spans than this share usually do without it
_COUNT_BINS = 32
_MEDIAN_MIN = 50
_PAIRS_MAX = 30_000  # 5 kB each
_MORE_ROWS = 3
_MORE_LASTS_S = 600  # after that the higher number counts as normal
_BELOW = 0.01
# ((operation, callee) of the parent, of the child, since and until in ns) → spans of the parent without it.
Calls = tuple[Operation, str]
FindChildless = Callable[[Calls, Calls, int, int], list[dict[str, Any]]]


def excessive(counts: FloatArray, usual: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether each parent made a call far more often than the median parent makes it."""
    return np.asarray((counts >= 2 * usual) & (counts >= usual + 1))


class StructureWatch(Detector):
    """Follows who calls whom. Not thread-safe."""

    name = "call_structure"
    detector = STRUCTURE
    input = Input.SPANS
    tables = (TABLE,)

    def __init__(
        self,
        settings: Settings,
        operations: Operations,
        find_childless: FindChildless,
        shares: CallerShares,
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._find_childless = find_childless
        self._shares = shares
        self._kinship = Kinship("parent_hash")
        self._pairs: dict[tuple[int, int], int] = {}
        self.pairs: list[tuple[int, int]] = []
        self.missing = MissingCalls(operations)
        self.rates = {rule: Rates(_RULES[rule]) for rule in _RULES} | {MISSING: self.missing.rates}
        self._parents: IntArray = np.zeros(64, dtype=np.int64)  # the calling operation of each pair
        self._spans_seen: FloatArray = np.zeros(64)  # of each operation, since the beginning
        self._how_often: FloatArray = np.zeros((64, _COUNT_BINS))  # parents of each pair by number of calls
        self._exemplars = {rule: Exemplars() for rule in (PATH, CALLS, MORE)}
        self._more: dict[int, tuple[int, int]] = {}  # start and end of each pair's newest stretch of *more*

    def pair(self, parent: int, child: int, past: dict[str, tuple[float, float]] | None = None) -> int:
        """The number of a pair; -1 when there are too many pairs.

        A new pair counts as never seen in all the parent's spans so far.
        """
        known = self._pairs.get((parent, child))
        if known is not None:
            return known
        if len(self.pairs) >= _PAIRS_MAX:
            return -1
        code = self._pairs[parent, child] = len(self.pairs)
        self.pairs.append((parent, child))
        if code >= len(self._parents):
            self._parents = np.concatenate([self._parents, np.zeros_like(self._parents)])
        self._parents[code] = parent
        if code >= len(self._how_often):
            self._how_often = np.concatenate([self._how_often, np.zeros_like(self._how_often)])
        before = float(self._spans_seen[parent]) if parent < len(self._spans_seen) else 0.0
        past = past or {PATH: (before, 0.0), MISSING: (before, before)}
        for rule, rates in self.rates.items():
            rates.grow([0], [past.get(rule, (0.0, 0.0))])
        return code

    def observe(self, step: Step) -> Verdict:
        return Verdict([found for batch in step.batches for found in self.judge(batch, step.held)])

    def changed(self) -> list[State]:
        rows = []
        for rule, rates in self.rates.items():
            for pair in np.flatnonzero(rates.changed[: rates.count]).tolist():
                caller, callee = (self._operations.stored(code) for code in self.pairs[pair])
                histogram = self.call_counts(pair) if rule == CALLS else None
                rows.append(rate_row(rule, caller, callee, rates.past(pair), histogram))
        return rate_state(rows)

    def committed(self) -> None:
        for rates in self.rates.values():
            rates.changed[:] = False

    def restore(self, rows: Rows) -> None:
        pairs: dict[tuple[int, int], dict[str, tuple[float, float]]] = {}
        histograms: dict[tuple[int, int], list[int]] = {}
        for row in rates_of(rows, *self.rates):
            caller = self._operations.code_stored(row["service_name"], row["operation"], row["span_kind"])
            callee = self._operations.code_stored(
                row["callee_service"], row["callee_operation"], row["callee_kind"]
            )
            if min(caller, callee) >= 0:
                pairs.setdefault((caller, callee), {})[row["measure"]] = (
                    row["trial_count"],
                    row["hit_count"],
                )
                if row["call_counts"]:
                    histograms[caller, callee] = row["call_counts"]
        for (caller, callee), past in pairs.items():
            self._restore(caller, callee, past, histograms.get((caller, callee)))

    def _restore(
        self, parent: int, child: int, past: dict[str, tuple[float, float]], counts: list[int] | None
    ) -> None:
        """Start with what a former run learned of a pair; `counts`: parents by how often they called."""
        pair = self.pair(parent, child, past)
        if pair >= 0:
            while parent >= len(self._spans_seen):
                self._spans_seen = np.concatenate([self._spans_seen, np.zeros_like(self._spans_seen)])
            seen = past.get(PATH, (0.0, 0.0))[0]
            self._spans_seen[parent] = max(self._spans_seen[parent], seen)
            self._how_often[pair, : len(counts or ())] = counts or []

    def call_counts(self, pair: int) -> list[int]:
        return [int(count) for count in self._how_often[pair]]

    def judge(self, batch: Batch, held: Sequence[int] = ()) -> list[Anomaly]:
        """Judge a batch. Learns nothing of the calls of operations in `held`: these are in an incident."""
        still = np.flatnonzero(np.isin(self._parents[: len(self.pairs)], held)).tolist()
        for rates in self.rates.values():
            rates.move(batch.step.settled, batch.step.cleared, still)
        for exemplars in self._exemplars.values():
            exemplars.forget(batch.head - WINDOWS_S[-1])
        # Children come first: a new pair must not count the parents of this batch as its past.
        kin, counts = calls(self._kinship.meet(batch))
        self._shares.spans(batch.codes)
        self._shares.calls(kin.parent_code, kin.child_code, counts)
        keys, inverse = np.unique(kin.parent_code << 32 | kin.child_code, return_inverse=True)
        known = [self.pair(key >> 32, key & 0xFFFFFFFF) for key in keys.tolist()]
        pairs = np.array(known, dtype=np.int64)[inverse]
        if (pairs < 0).any():
            watched = np.flatnonzero(pairs >= 0)
            kin, counts, pairs = kin.take(watched), counts[watched], pairs[watched]
        self._count_parents(batch)
        found = self._paths(batch, kin, pairs) + self._more_often(batch, kin, pairs, counts)
        found += self._too_often(batch, kin, pairs, counts)
        return found + self._missing(batch, kin, pairs)

    def _count_parents(self, batch: Batch) -> None:
        size = len(batch.operations.keys)
        while size > len(self._spans_seen):
            self._spans_seen = np.concatenate([self._spans_seen, np.zeros_like(self._spans_seen)])
        self._spans_seen[:size] += np.bincount(batch.codes, minlength=size)
        self.missing.count(batch)
        if not len(self.pairs):
            return
        for tick in np.unique(batch.ticks).tolist():
            spans = np.bincount(batch.codes[batch.ticks == tick], minlength=size)[
                self._parents[: len(self.pairs)]
            ]
            pairs = np.flatnonzero(spans)
            ticks, trials = np.full(len(pairs), tick), spans[pairs].astype(np.float64)
            self.rates[PATH].add(pairs, ticks, trials, np.zeros(len(pairs)))
            self.rates[MISSING].add(pairs, ticks, trials, trials)

    def _paths(self, batch: Batch, kin: Kin, pairs: IntArray) -> list[Anomaly]:
        rates = self.rates[PATH]
        rates.add(pairs, kin.child_tick, np.zeros(len(pairs)), np.ones(len(pairs)))
        new = np.flatnonzero(rates.past_hits[pairs] <= _NEVER * rates.past_trials[pairs])
        self._exemplars[PATH].keep(kin.source, pairs[new], kin.child_tick[new], kin.place[new])
        found = []
        for alarm in rates.judge(np.unique(pairs[new]), batch.head):
            parent, child = (batch.operations.label(code) for code in self.pairs[alarm.code])
            text = (
                f"{parent} calls {child} in {alarm.hits} of {alarm.trials} spans: "
                f"never before in {alarm.learned_trials:,}"
            )
            # New code looks the same, so this goes to the queue and alerts nobody.
            most = self._settings.severity_sigmas()[1] - _BELOW
            found += self._report(batch, alarm, PATH, text, most=most, is_trouble=False)
        return found

    def _more_often(self, batch: Batch, kin: Kin, pairs: IntArray, counts: FloatArray) -> list[Anomaly]:
        rates, head = self.rates[MORE], batch.head
        known, usual = self._median_calls(pairs)
        more = known & (counts > usual)
        rates.add(pairs[known], kin.child_tick[known], np.ones(int(known.sum())), more[known].astype(float))
        rows = np.flatnonzero(more)
        self._exemplars[MORE].keep(kin.source, pairs[rows], kin.child_tick[rows], kin.place[rows])
        old = [pair for pair, (_, until) in self._more.items() if until < head - WINDOWS_S[-1]]
        for pair in old:
            del self._more[pair]
        adopted = [pair for pair, (since, _) in self._more.items() if since < head - _MORE_LASTS_S]
        suspects = np.unique(pairs[rows])
        found = []
        for alarm in rates.judge(suspects[~np.isin(suspects, adopted)], head):
            since, _ = self._more.get(alarm.code, (head, head))
            self._more[alarm.code] = since, head
            if since < head:
                continue  # one report for as long as it lasts
            parent, child = (batch.operations.label(code) for code in self.pairs[alarm.code])
            text = (
                f"{alarm.hits} of {alarm.trials} {parent} called {child} more often than is usual, "
                f"else {share_text(alarm.usual_rate)} do"
            )
            exemplars = self._exemplars[MORE].take(alarm.code, head, alarm.window_s)[-_MORE_ROWS:]
            most = self._settings.severity_sigmas()[2] - _BELOW
            found += self._report(batch, alarm, MORE, text, most=most, rows=exemplars, is_trouble=False)
        return found

    def _median_calls(self, pairs: IntArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
        """(whether enough is known of each pair, how often the median parent calls)."""
        of_pair, which = np.unique(pairs, return_inverse=True)  # few pairs, many rows each
        histogram = self._how_often[of_pair]
        total = histogram.sum(axis=1)
        median = np.argmax(np.cumsum(histogram, axis=1) >= total[:, None] / 2, axis=1).astype(np.float64)
        return (total >= _MEDIAN_MIN)[which], median[which]

    def _too_often(self, batch: Batch, kin: Kin, pairs: IntArray, counts: FloatArray) -> list[Anomaly]:
        rates = self.rates[CALLS]
        known, usual = self._median_calls(pairs)
        odd = known & excessive(counts, usual)
        rates.add(pairs[known], kin.child_tick[known], np.ones(int(known.sum())), odd[known].astype(float))
        rows = np.flatnonzero(odd)
        rates.add_moments(pairs[rows], kin.child_tick[rows], kin.ends()[rows])
        self._exemplars[CALLS].keep(kin.source, pairs[rows], kin.child_tick[rows], kin.place[rows])
        most_often = dict(
            zip(
                pairs[rows].tolist(),
                zip(counts[rows].tolist(), usual[rows].tolist(), strict=True),
                strict=True,
            )
        )
        found = []
        alarmed = set()
        for alarm in rates.judge(np.unique(pairs[rows]), batch.head):
            alarmed.add(alarm.code)
            parent, child = (batch.operations.label(code) for code in self.pairs[alarm.code])
            often, seldom = most_often[alarm.code]
            text = (
                f"{often:.0f} calls of {child} by one {parent}, usually {seldom:.0f}, "
                f"in {share_text(alarm.hits / alarm.trials)} of them"
            )
            found += self._report(batch, alarm, CALLS, text, counts=(often, seldom))
        calm = np.flatnonzero(~np.isin(pairs, list(alarmed)) & ~(odd & (rates.past_trials[pairs] >= 100)))
        bins = np.minimum(counts[calm], _COUNT_BINS - 1).astype(np.int64)
        np.add.at(self._how_often.reshape(-1), pairs[calm] * _COUNT_BINS + bins, 1.0)
        return found

    def _missing(self, batch: Batch, kin: Kin, pairs: IntArray) -> list[Anomaly]:
        self.missing.made(pairs, kin.parent_end, batch.head)
        found = []
        for rule, alarm, since, until in self.missing.judge(batch, self.pairs):
            parent, child = self.pairs[alarm.code]
            rows = self._find_childless(self._calls(parent), self._calls(child), since, until)
            usually = "is always made" if rule == MISSING else f"{share_text(1 - alarm.usual_rate)} make"
            text = (
                f"{alarm.hits} of {alarm.trials} {batch.operations.label(parent)} made no call of"
                f" {batch.operations.label(child)}, which {usually}"
            )
            # For a while all requests may be of a kind that needs no such call.
            mild = rule == FEWER and alarm.usual_rate > _SELDOM
            most = self._settings.severity_sigmas()[2] - _BELOW if mild else np.inf
            rows = rows[:_MORE_ROWS] if mild else rows
            found += self._report(batch, alarm, rule, text, most=most, rows=rows, is_trouble=not mild)
        return found

    def _calls(self, code: int) -> Calls:
        return self._operations.keys[code], self._operations.callees[code]

    def _report(
        self,
        batch: Batch,
        alarm: Alarm,
        rule: str,
        text: str,
        *,
        most: float = np.inf,
        counts: tuple[float, float] | None = None,
        rows: list[dict[str, Any]] | None = None,
        is_trouble: bool = True,
    ) -> list[Anomaly]:
        share = alarm.hits / max(alarm.trials, 1)
        sigma = min(bounded_by_share(alarm.sigma, share, self._settings), most)
        observed, expected = (share, alarm.usual_rate) if counts is None else counts
        parent, child = (batch.operations.keys[code] for code in self.pairs[alarm.code])
        details = {
            "text": text,
            "rule": rule,
            "span_sigma": 0.0,
            "shift_sigma": round(alarm.sigma, 3) if is_trouble else 0.0,
            "window_s": alarm.window_s,
            "odd": alarm.hits,
            "parents": alarm.trials,
            "parent_service": parent[0],
            "parent_operation": parent[1],
            "child_service": child[0],
            "child_operation": child[1],
            **_whom("child_callee", batch.operations.callees[self.pairs[alarm.code][1]]),
        }
        if rows is None:
            rows = self._exemplars[rule].take(alarm.code, batch.head, alarm.window_s)
        found = (
            window_anomaly(
                STRUCTURE,
                row,
                parent if rule in (MISSING, FEWER) else child,
                self._settings,
                sigma=sigma,
                observed=observed,
                expected=expected,
                unit="share" if counts is None else "calls",
                sample_count=alarm.learned_trials,
                details=details,
                subject=f"{rule}|{row['span_id']}",
            )
            for row in rows
        )
        return [anomaly for anomaly in found if anomaly]


def _whom(name: str, callee: str) -> dict[str, object]:
    return {name: callee} if callee else {}
