"""New and surging messages: sigma = Phi^-1(1 - L * P(BetaBinomial(n, alpha, beta) >= k)), k lines.

Lines become templates (`detectors.logs.templates`); n are the spans of the service in the same window, so
that more traffic may log more; lines alone where a service has no spans. A template that was never there has
a rate of nothing against all that its service has done so far. Errors matter from half a percent of the spans
on; warnings from 5%; other lines are at most SEV5, new ones from 10% on, known ones when tenfold.

Of both no second is judged before it is there: SDKs send lines after one second and spans after five, so a
line waits until the spans of its second have come, as long as nearly all of its service lately took.

Examples are the spans that the lines were written in, when they are stored, else the newest of the service.

>>> [least_share(level, new=True) for level in (Level.ERROR, Level.WARN, Level.PLAIN)]
[0.005, 0.05, 0.1]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from collector.store.sqlfile import load_sql
from detectors.logs.templates import Level, TemplateMiner
from detectors.model.anomaly import LOG, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stats.slots import SLOTS, last
from detectors.stream.batch import Batch
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.event_time import SETTLE_S
from detectors.stream.exemplars import window_anomaly
from detectors.stream.rate_rows import TABLE, rate_row, rate_state, rates_of

_RULE = Rule(min_trials=300, min_seconds=2, min_excess=0.005, prior_rate=0.0002)
_TEMPLATES_MAX = 5_000
_SURGE_FACTOR_PLAIN = 10.0
_BELOW = 0.01
_EXAMPLES_KEPT = 50
_QUERIES = "detectors.logs.queries"
_PAUSE_S = 60  # between two reports of one template
_LAG_MAX_S = 12  # less than it takes until a second is learned
_ON_TIME = 0.99  # of a service's spans; the others were late by accident
_HALF_LIFE_S = 60
_WAIT_MAX_S = 30
_WAITING_MAX = 100_000  # lines, counted by second
# rows with trace_id, span_id, unix_nano → the stored spans among them
FindSpans = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
NewestSpan = Callable[[str], dict[str, Any] | None]


def least_share(level: Level, *, new: bool) -> float:
    """Lines for each span from which a template matters."""
    if level is Level.PLAIN:
        return 0.1 if new else 0.2
    return 0.05 if level is Level.WARN else 0.005


class _Lateness:
    """The delay of each service's spans behind the newest: exporters send at intervals."""

    def __init__(self) -> None:
        self._seen: FloatArray = np.zeros((16, _LAG_MAX_S + 1))
        self._within: list[int] = []

    def add(self, services: IntArray, late_s: IntArray, passed_s: int) -> None:
        """Count spans by their delay in seconds behind the newest."""
        while len(services) and services.max() >= len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        self._seen *= 0.5 ** (passed_s / _HALF_LIFE_S)
        np.add.at(self._seen, (services, np.clip(late_s, 0, _LAG_MAX_S)), 1.0)
        total = np.cumsum(self._seen, axis=1)
        self._within = (total < _ON_TIME * total[:, -1:]).sum(axis=1).tolist()

    def of(self, service: int) -> int:
        """The seconds within which nearly all spans of a service have come."""
        return self._within[service] if service < len(self._within) else 0


class LogWatch(Detector):
    """Follows all templates. Not thread-safe."""

    name = "template_rate"
    detector = LOG
    input = Input.LOGS
    tables = (TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings, find_spans: FindSpans, newest_span: NewestSpan) -> None:
        self._settings = settings
        self._find_spans = find_spans
        self._newest_span = newest_span
        self._miner = TemplateMiner()
        self._services: dict[str, int] = {}
        self._names: list[str] = []  # of each service
        self._service_of: IntArray = np.zeros(64, dtype=np.int64)  # of each series
        self._of_operation: IntArray = np.zeros(0, dtype=np.int64)  # the service of each operation
        self._series: dict[int, int] = {}  # template → series
        self._templates: list[int] = []  # and back
        self._spans_seen: FloatArray = np.zeros(16)  # of each service, ever
        self._spans_at: FloatArray = np.zeros((16, SLOTS))  # of each service in each second of the ring
        self._late = _Lateness()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING_MAX)
        self._rates = Rates(_RULE)
        self._examples: dict[int, deque[dict[str, Any]]] = {}
        self._reported: dict[int, int] = {}
        self._head: int | None = None

    def advance(self, batch: Batch) -> None:
        """Take a step of spans, against which lines are counted."""
        self._rates.move(batch.step.settled, batch.step.cleared)
        self._spans_at[:, batch.step.cleared] = 0
        passed_s = min(batch.head - (batch.head if self._head is None else self._head), SLOTS)
        self._head = batch.head
        keys = batch.operations.keys
        fresh = [self._service(key[0]) for key in keys[len(self._of_operation) :]]
        self._of_operation = np.append(self._of_operation, np.array(fresh, dtype=np.int64))
        of_span = self._of_operation[batch.codes]
        self._late.add(of_span[~batch.late], (batch.head - batch.ticks)[~batch.late], max(passed_s, 0))
        size, series = len(self._names), self._service_of[: len(self._templates)]
        self._spans_seen[:size] += np.bincount(of_span, minlength=size)
        np.add.at(self._spans_at, (of_span, batch.ticks % SLOTS), 1.0)
        for tick in np.unique(batch.ticks).tolist():
            counts = np.bincount(of_span[batch.ticks == tick], minlength=size)[series]
            codes = np.flatnonzero(counts)
            if len(codes):
                self._rates.add(
                    codes, np.full(len(codes), tick), counts[codes].astype(float), np.zeros(len(codes))
                )

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(step.lines))

    def judge(self, lines: pa.Table | None) -> list[Anomaly]:
        """Take lines (columns of `pipeline/queries/new_logs.sql`); lines are judged once their spans have
        come.
        """
        self._waiting.extend(lines.to_pylist() if lines is not None else ())
        head = self._head
        if head is None or not self._waiting:
            return []
        lags = {name: self._late.of(code) for name, code in self._services.items()}
        due: list[dict[str, Any]] = []
        early: list[dict[str, Any]] = []
        for row in self._waiting:
            lag = lags.get(row["service_name"], 0)
            # Where no span comes any more, or a clock is ahead, lines do not wait for ever.
            waits = head - lag < row["tick"] <= head + _WAIT_MAX_S
            (early if waits else due).append(row)
        self._waiting = deque(early, maxlen=_WAITING_MAX)
        touched: dict[int, dict[int, None]] = {}  # longest wait first
        counted = []
        for row in due:
            code = self._series_of(row)
            if code < 0:
                continue
            tick = row["tick"] if head - SLOTS < row["tick"] <= head else head
            service = self._services[row["service_name"]]
            spans = 0.0 if self._spans_seen[service] else float(row["line_count"])
            counted.append((code, tick, spans, float(row["line_count"])))
            self._examples.setdefault(code, deque(maxlen=_EXAMPLES_KEPT)).append(row)
            touched.setdefault(self._late.of(service), {})[code] = None
        if counted:
            codes, ticks, trials, hits = zip(*counted, strict=True)
            self._rates.add(np.array(codes), np.array(ticks), np.array(trials), np.array(hits))
        found: list[Anomaly] = []
        for lag, series in touched.items():
            alarms = self._rates.judge(np.array(list(series), dtype=np.int64), head - lag)
            found += [anomaly for alarm in alarms for anomaly in self._report(alarm, head - lag)]
        return found

    def changed(self) -> list[State]:
        """All templates, once one of them has learned: as they grow, several become one."""
        if not self._rates.changed[: self._rates.count].any():
            return []
        found: dict[tuple[str, str, str], tuple[float, float]] = {}
        for code, template in enumerate(self._templates):
            service = self._names[self._service_of[code]]
            key = (service, self._miner.level(template).name, self._miner.text(template))
            # Templates that have grown to the same words become one.
            _, before = found.get(key, (0.0, 0.0))
            trials, hits = self._rates.past(code)
            if hits + before > 0:
                found[key] = (trials, hits + before)
        rows = [
            rate_row(LOG, Operation(service, level, ""), Operation("", words, ""), past)
            for (service, level, words), past in found.items()
        ]
        return rate_state(rows, load_sql(_QUERIES, "forget_log_rates"))

    def committed(self) -> None:
        self._rates.changed[:] = False

    def restore(self, rows: Rows) -> None:
        for row in rates_of(rows, LOG):
            service, level, past = (
                row["service_name"],
                row["operation"],
                (row["trial_count"], row["hit_count"]),
            )
            if len(self._templates) < _TEMPLATES_MAX and level in Level.__members__:
                template = self._miner.restore(service, Level[level], row["callee_operation"])
                number = self._service(service)
                self._begin(number, template, past)
                self._spans_seen[number] = max(self._spans_seen[number], past[0])

    def _service(self, name: str) -> int:
        known = self._services.get(name)
        if known is None:
            known = self._services[name] = len(self._names)
            self._names.append(name)
            if known >= len(self._spans_seen):
                self._spans_seen = np.concatenate([self._spans_seen, np.zeros_like(self._spans_seen)])
                self._spans_at = np.concatenate([self._spans_at, np.zeros_like(self._spans_at)])
        return known

    def _begin(self, service: int, template: int, past: tuple[float, float]) -> int:
        code = self._series[template] = len(self._templates)
        if code >= len(self._service_of):
            self._service_of = np.concatenate([self._service_of, np.zeros_like(self._service_of)])
        self._service_of[code] = service
        self._templates.append(template)
        self._rates.grow([0], [past])
        return code

    def _series_of(self, row: dict[str, Any]) -> int:
        template = self._miner.code(row["service_name"], row["example"], row["severity_number"])
        known = self._series.get(template)
        if known is not None:
            return known
        if len(self._templates) >= _TEMPLATES_MAX:
            return -1
        # The service has never written it; its newest spans are not learned yet.
        service, head = self._service(row["service_name"]), self._head or 0
        recent = self._spans_at[service]
        unsettled = float(recent[last(head, SETTLE_S)].sum())
        code = self._begin(service, template, (max(float(self._spans_seen[service]) - unsettled, 0.0), 0.0))
        ticks = np.arange(head - SLOTS + 1, head + 1)
        ticks = ticks[recent[ticks % SLOTS] > 0]
        self._rates.add(np.full(len(ticks), code), ticks, recent[ticks % SLOTS], np.zeros(len(ticks)))
        return code

    def _report(self, alarm: Alarm, head: int) -> list[Anomaly]:
        template = self._templates[alarm.code]
        level, service = self._miner.level(template), self._names[self._service_of[alarm.code]]
        new = self._rates.past_hits[alarm.code] < 1
        share = alarm.hits / alarm.trials
        if share < least_share(level, new=new) or head - self._reported.get(alarm.code, -_PAUSE_S) < _PAUSE_S:
            return []
        if level is Level.PLAIN and not new and share < _SURGE_FACTOR_PLAIN * alarm.usual_rate:
            return []
        self._reported[alarm.code] = head
        thresholds = self._settings.severity_sigmas()
        most = thresholds[{Level.ERROR: 3, Level.WARN: 2, Level.PLAIN: 1}[level]] - _BELOW
        sigma = min(bounded_by_share(alarm.sigma, share, self._settings), most)
        name = "error" if level is Level.ERROR else "warning" if level is Level.WARN else "message"
        rule, words = "new" if new else "surging", self._miner.text(template)
        text = f"{rule} {name}, {alarm.hits} in {alarm.window_s} s: {words}"
        details = {
            "text": text,
            "template": words,
            "level": level.name,
            "rule": rule,
            "span_sigma": 0.0,
            "shift_sigma": round(alarm.sigma, 3) if level is Level.ERROR else 0.0,
        }
        recent = [row for row in self._examples[alarm.code] if row["tick"] > head - WINDOWS_S[-1]]
        spans = self._find_spans([row for row in recent if row["span_id"]])
        if not spans:
            newest = self._newest_span(service)
            spans = [newest] if newest else []
        found = (
            window_anomaly(
                LOG,
                span,
                Operation.of(span),
                self._settings,
                sigma=sigma,
                observed=share,
                expected=alarm.usual_rate,
                unit="lines/span",
                sample_count=alarm.learned_trials,
                details=details,
                subject=f"{span['span_id']}|{words}",
            )
            for span in spans
        )
        return [anomaly for anomaly in found if anomaly]
