"""Spans that stop coming, and floods: sigma = Phi^-1(1 - P(X <= x)) or P(X >= x), X negative binomial.

    mean = learned rate * window * f,   variance = mean + dispersion * mean^2

f is the present traffic of the rest of the system: the upper quartile of seen/usual over all operations. A
stopped collector, a first quiet night, or users who left make all operations rarer: f falls and nothing
counts as missing. A surge of load makes all of them busier: f rises and nothing counts as a flood. An
operation is silent when a tenth or less of its mean came in its window, while the others continued: the
shortest of half a minute, one, and nearly two in which twenty of its spans usually come. What
only silent operations call is silent because of them: the head of the chain is reported. The newest ten
seconds are left out, for exporters that send every five. A flood is ten times the mean, and SEV5 at most:
traffic is not trouble.

Source: negative binomial counts for overdispersed traffic (Farrington et al. 1996, outbreak detection).

>>> [round(float(fewer(0, 50.0, d)), 6) for d in (0.05, 1.0)]
[0.0, 0.019608]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import betainc, ndtri

from detectors.model.anomaly import SILENCE, THROUGHPUT, Anomaly
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.arrival_rate import Arrivals
from detectors.stats.beta_binomial import discoveries
from detectors.stats.slots import SLOTS, last
from detectors.stream.batch import Batch, Operations
from detectors.stream.callers import CallerShares
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly
from detectors.stream.newest_spans import NewestSpans

_TABLE = "arrival_rates"
FLOOD = "flood"
_LAG_S = 10
_WINDOW_S = 30
_WINDOWS_S = (_WINDOW_S, 60, 110)  # with the lag they fit into the ring
_LEAST_MEAN = 20.0  # usual spans of a window; with fewer in the longest an operation is never silent
_SILENT_SHARE = 0.1
_FALLING_SHARE = (
    0.3  # of a caller: the window of a rarer one reaches the tenth some seconds after its callee's
)
_FLOOD_FACTOR = 10.0
_DISCOVERY_RATE = 1e-4
_ADOPTED_AFTER_S = 600  # of silence: after that silence counts as normal
_LEAST_P = 1e-300
_BELOW = 0.01


def fewer(x: npt.ArrayLike, mean: npt.ArrayLike, dispersion: npt.ArrayLike) -> FloatArray:
    """P(X <= x) of negative binomials."""
    size = 1.0 / np.asarray(dispersion, dtype=np.float64)
    p = size / (size + np.asarray(mean, dtype=np.float64))
    return np.asarray(betainc(size, np.asarray(x, dtype=np.float64) + 1.0, p), dtype=np.float64)


class _Traffic(NamedTuple):
    """Of each operation: its window, the spans that came in it, those that usually do while the rest of the
    system sends what it sends now, and the learned buckets that this rests on."""

    window_s: IntArray
    seen: FloatArray
    usual: FloatArray
    buckets: IntArray


def _windows_s(rate_per_s: FloatArray, observed_s: int) -> IntArray:
    """The window of each operation.

    Args:
        observed_s: since the start; a window from before it would be empty for no reason.

    >>> _windows_s(np.array([5.0, 0.5, 0.2, 0.01]), 600), _windows_s(np.array([0.2]), 70)
    (array([ 30,  60, 110, 110]), array([60]))
    """
    usable = [window for window in _WINDOWS_S if window <= observed_s]
    found: IntArray = np.full(len(rate_per_s), usable[-1])
    for window in reversed(usable):
        found[rate_per_s * window >= _LEAST_MEAN] = window
    return found


def _newest(counts: npt.NDArray[np.float32], head: int, window_s: IntArray, lag_s: int = 0) -> FloatArray:
    """How many spans of each operation came in its window."""
    found = np.zeros(len(counts))
    for window in np.unique(window_s).tolist():
        same = np.flatnonzero(window_s == window)
        found[same] = counts[np.ix_(same, last(head, window, lag_s))].sum(axis=1)
    return found


def _believed(suspects: IntArray, p: FloatArray, watched: int) -> dict[int, float]:
    kept = discoveries(p, watched, _DISCOVERY_RATE)
    return dict(zip(suspects[kept].tolist(), np.maximum(p[kept], _LEAST_P).tolist(), strict=True))


class ThroughputWatch(Detector):
    """Follows how many spans each operation sends. Not thread-safe."""

    name = "throughput"
    detector = THROUGHPUT
    input = Input.SPANS
    tables = (_TABLE,)

    def __init__(
        self, settings: Settings, operations: Operations, newest: NewestSpans, shares: CallerShares
    ) -> None:
        self._settings = settings
        self._shares = shares
        self._operations = operations
        self._newest = newest
        self.arrivals = Arrivals()
        self._landed: npt.NDArray[np.float32] = np.zeros(
            (64, SLOTS), dtype=np.float32
        )  # by the newest second
        self._judged_tick = -1
        self._led: dict[int, int] = {}  # silent because of their callers, and the second it was seen first
        self._since: dict[int, int] = {}  # silent or flooded operations, and the second of the finding

    def observe(self, step: Step) -> Verdict:
        return Verdict([found for batch in step.batches for found in self.judge(batch)])

    def changed(self) -> list[State]:
        codes = np.flatnonzero(self.arrivals.changed[: self.arrivals.count])
        hours = self.arrivals.past[codes]
        which, hour = np.nonzero(hours[:, :, 0])
        keys = [self._operations.stored(code) for code in codes[which].tolist()]
        cells = hours[which, hour].astype(np.float64)
        columns = {
            "service_name": [key[0] for key in keys],
            "operation": [key[1] for key in keys],
            "span_kind": [key[2] for key in keys],
            "hour_of_week": hour.astype(np.int16),
            "bucket_count": cells[:, 0],
            "span_count": cells[:, 1],
            "square_sum": cells[:, 2],
        }
        return [State(_TABLE, pa.table(columns))] if keys else []

    def committed(self) -> None:
        self.arrivals.changed[:] = False

    def restore(self, rows: Rows) -> None:
        for row in rows[_TABLE]:
            code = self._operations.code_stored(row["service_name"], row["operation"], row["span_kind"])
            if code >= 0:
                self.arrivals.grow(len(self._operations.keys), 0)
                cell = (row["bucket_count"], row["span_count"], row["square_sum"])
                self.arrivals.past[code, row["hour_of_week"]] = cell

    def judge(self, batch: Batch) -> list[Anomaly]:
        arrivals, head = self.arrivals, batch.head
        arrivals.move(batch.step.settled, batch.step.cleared, batch.begun)
        arrivals.grow(len(batch.operations.keys), head)
        arrivals.add(batch.codes, batch.ticks, ~batch.late)
        while len(self._landed) < arrivals.count:
            self._landed = np.concatenate([self._landed, np.zeros_like(self._landed)])
        self._landed[:, batch.step.cleared] = 0
        np.add.at(self._landed.reshape(-1), batch.codes * SLOTS + head % SLOTS, np.float32(1.0))
        if head == self._judged_tick or head - _LAG_S - _WINDOW_S < batch.begun:
            return []
        self._judged_tick = head
        usual = arrivals.usual(head)
        window_s = _windows_s(usual.rate_per_s, head - _LAG_S - batch.begun)
        seen = _newest(arrivals.counts[: arrivals.count], head, window_s, _LAG_S)
        mean = usual.rate_per_s * window_s
        ready = usual.buckets > 0
        busy = ready & (mean >= _LEAST_MEAN)
        if not busy.any():
            return []
        rest = float(np.quantile(seen[busy] / mean[busy], 0.75))
        low = _Traffic(window_s, seen, mean * min(rest, 1.0), usual.buckets)
        shortest_s = np.full(len(seen), _WINDOW_S)
        newest = _newest(arrivals.counts[: arrivals.count], head, shortest_s, _LAG_S)
        high = _Traffic(shortest_s, newest, usual.rate_per_s * _WINDOW_S * max(rest, 1.0), usual.buckets)
        silent = self._silent(low, usual.dispersion, busy, head)
        floods = self._floods(high, usual.dispersion, ready)
        self._end(head, silent.keys() | floods.keys(), seen)
        sigmas = self._settings.severity_sigmas()
        found = []
        for code, chance in silent.items():
            sigma = min(float(-ndtri(chance)), sigmas[3] - _BELOW)  # SEV3: less sampling looks the same
            found.append(self._report(batch, code, SILENCE, sigma, low))
        for code, chance in floods.items():
            sigma = min(float(-ndtri(chance)), sigmas[1] - _BELOW)
            found.append(self._report(batch, code, FLOOD, sigma, high))
        return [anomaly for anomaly in found if anomaly]

    def _silent(
        self, traffic: _Traffic, dispersion: FloatArray, busy: npt.NDArray[np.bool_], head: int
    ) -> dict[int, float]:
        """The chance of each operation that has stopped."""
        seen, mean = traffic.seen, traffic.usual
        # An operation whose clock is half a minute late never appears in the window, although its spans land.
        landed = _newest(self._landed[: len(seen)], head, traffic.window_s)
        silent = np.maximum(seen, landed) <= _SILENT_SHARE * mean
        suspects = np.flatnonzero(busy & (mean >= _LEAST_MEAN) & silent)
        heads = self._heads(suspects, seen, mean, busy, head)
        p = fewer(seen[heads], mean[heads], dispersion[heads])
        return _believed(heads, p, int(busy.sum()))

    def _heads(
        self, suspects: IntArray, seen: FloatArray, mean: FloatArray, busy: npt.NDArray[np.bool_], head: int
    ) -> IntArray:
        """Those of which calls should have come; the others are silent because their callers are.

        A caller that is too rare to be reported explains nothing, nor do operations that call each other:
        nobody would be told.
        """
        falling = np.flatnonzero(busy & (mean >= _LEAST_MEAN) & (seen <= _FALLING_SHARE * mean))
        left = {code: float(seen[code] / mean[code]) for code in falling.tolist()}
        codes = suspects.tolist()
        present = np.array([self._shares.present(code, left) for code in codes]) * mean[suspects]
        missed = (present >= _LEAST_MEAN) & (seen[suspects] <= _SILENT_SHARE * present)
        heads = set(suspects[missed].tolist())
        led = set(codes) - heads
        leading = (heads | left.keys()) - led
        heads |= {code for code in led if not self._shares.led_by(code, leading, led)}
        self._led = {code: self._led.get(code, head) for code in led - heads}
        for code, since in self._led.items():
            if head - since < _ADOPTED_AFTER_S:
                self.arrivals.spoilt_until[code] = head
        return np.array(sorted(heads), dtype=np.int64)

    def _floods(
        self, traffic: _Traffic, dispersion: FloatArray, ready: npt.NDArray[np.bool_]
    ) -> dict[int, float]:
        seen, mean = traffic.seen, traffic.usual
        least = np.maximum(_FLOOD_FACTOR * mean, _LEAST_MEAN * _FLOOD_FACTOR)
        suspects = np.flatnonzero(ready & (seen >= least))
        p = 1.0 - fewer(seen[suspects] - 1, mean[suspects], dispersion[suspects])
        return _believed(suspects, p, int(ready.sum()))

    def _report(self, batch: Batch, code: int, rule: str, sigma: float, traffic: _Traffic) -> Anomaly | None:
        """The anomaly that opens an episode."""
        head = batch.head
        if code in self._since:
            if head - self._since[code] < _ADOPTED_AFTER_S:
                self.arrivals.spoilt_until[code] = head
            return None
        newest = self._newest.of_operation(code)
        if newest is None:
            return None  # no span of it has landed since the start, so there is none to show
        self._since[code] = head
        self.arrivals.spoilt_until[code] = head
        window_s = int(traffic.window_s[code])
        seen, mean = float(traffic.seen[code]), float(traffic.usual[code])
        said = "it has stopped" if rule == SILENCE else "a flood"
        callee = batch.operations.callees[code]
        whom = f" that call {callee}" if callee else ""
        text = f"{seen:.0f} spans{whom} in {window_s} s, usually {mean:.0f}: {said}"
        return window_anomaly(
            THROUGHPUT,
            newest,
            batch.operations.keys[code],
            self._settings,
            sigma=sigma,
            observed=seen / window_s,
            expected=mean / window_s,
            unit="spans/s",
            sample_count=int(traffic.buckets[code]),
            details={
                "text": text,
                "rule": rule,
                "window_s": window_s,
                "since_unix_s": self._since_s(code, head) if rule == SILENCE else head - _LAG_S - window_s,
                "until_unix_s": head - _LAG_S,
            },
            subject=f"{rule}|{head}|{callee}" if callee else f"{rule}|{head}",
        )

    def _since_s(self, code: int, head: int) -> int:
        """When a silent operation was last seen as often as in half of the seconds before."""
        ticks = np.arange(head - SLOTS + 1, head - _LAG_S + 1)
        counts = self.arrivals.counts[code, ticks % SLOTS]
        seen = np.flatnonzero(counts > 0)
        lively = seen[counts[seen] >= np.median(counts[seen])] if len(seen) else seen
        return int(ticks[lively[-1]]) if len(lively) else head - _LAG_S - _WINDOW_S

    def _end(self, head: int, troubled: set[int], seen: FloatArray) -> None:
        """End episodes whose spans come as usual again, and those that have lasted long."""
        for code in list(self._since):
            if code not in troubled and (seen[code] > 0 or head - self._since[code] >= _ADOPTED_AFTER_S):
                del self._since[code]
