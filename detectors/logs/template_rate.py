"""New and surging messages: sigma = Phi^-1(1 - L * P(BetaBinomial(n, alpha, beta) >= k)), k lines.

Lines become templates (`detectors.logs.templates`); n are the spans of the service in the same window, so
that more traffic may log more; lines alone where a service has no spans. A template that was never there has
a rate of nothing against all that its service has done so far. Errors matter from half a percent of the spans
on; warnings from 5%; other lines are at most SEV5, new ones from 10% on, known ones when tenfold.

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
from detectors.model.severity import bounded_by_share
from detectors.settings import Settings
from detectors.stats.beta_binomial import WINDOWS_S, Alarm, Rates, Rule
from detectors.stats.slots import SLOTS
from detectors.stream.batch import Batch
from detectors.stream.detector import Detector, Input, Role, Rows, State, Step, Verdict
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
# rows with trace_id, span_id, unix_nano → the stored spans among them
FindSpans = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
NewestSpan = Callable[[str], dict[str, Any] | None]


def least_share(level: Level, *, new: bool) -> float:
    """Lines for each span from which a template matters."""
    if level is Level.PLAIN:
        return 0.1 if new else 0.2
    return 0.05 if level is Level.WARN else 0.005


class LogWatch(Detector):
    """Follows all templates. Not thread-safe."""

    name = "template_rate"
    detector = LOG
    role = Role.CALL
    input = Input.LOGS
    tables = (TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings, find_spans: FindSpans, newest_span: NewestSpan) -> None:
        self._settings = settings
        self._find_spans = find_spans
        self._newest_span = newest_span
        self._miner = TemplateMiner()
        self._services: list[str] = []  # of each template
        self._series: dict[int, int] = {}  # template → series
        self._templates: list[int] = []  # and back
        self._spans_seen: dict[str, float] = {}
        self._spans_at: dict[tuple[str, int], float] = {}  # of a service in a second of the ring
        self._rates = Rates(_RULE)
        self._examples: dict[int, deque[dict[str, Any]]] = {}
        self._reported: dict[int, int] = {}
        self._head: int | None = None

    def advance(self, batch: Batch) -> None:
        """Take a step of spans: they are what lines are counted against."""
        self._rates.move(batch.step.settled, batch.step.cleared)
        self._head = batch.head
        services = np.array([batch.operations.service(code) for code in range(len(batch.operations.keys))])
        names = {batch.operations.service(c): key[0] for c, key in enumerate(batch.operations.keys)}
        of_span = services[batch.codes]
        for tick in np.unique(batch.ticks).tolist():
            counts = np.bincount(of_span[batch.ticks == tick])
            for service in np.flatnonzero(counts).tolist():
                self._count(names[service], tick, float(counts[service]))
        old = [key for key in self._spans_at if key[1] <= batch.head - SLOTS]
        for key in old:
            del self._spans_at[key]

    def _count(self, service: str, tick: int, spans: float) -> None:
        self._spans_seen[service] = self._spans_seen.get(service, 0.0) + spans
        self._spans_at[service, tick] = self._spans_at.get((service, tick), 0.0) + spans
        codes = np.array(
            [self._series[t] for t in self._templates if self._services[t] == service], dtype=np.int64
        )
        if len(codes):
            zeros = np.zeros(len(codes))
            self._rates.add(codes, np.full(len(codes), tick), np.full(len(codes), spans), zeros)

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(step.lines) if step.lines is not None else ())

    def judge(self, lines: pa.Table) -> list[Anomaly]:
        """Take lines; columns of `pipeline/queries/new_logs.sql`."""
        head = self._head
        if head is None or not lines.num_rows:
            return []
        touched: dict[int, None] = {}
        for row in lines.to_pylist():
            code = self._series_of(row)
            if code < 0:
                continue
            tick = row["tick"] if head - SLOTS < row["tick"] <= head else head
            alone = row["service_name"] not in self._spans_seen
            spans = float(row["line_count"]) if alone else 0.0
            self._rates.add(
                np.array([code]), np.array([tick]), np.array([spans]), np.array([float(row["line_count"])])
            )
            self._examples.setdefault(code, deque(maxlen=_EXAMPLES_KEPT)).append(row)
            touched[code] = None
        alarms = self._rates.judge(np.array(list(touched), dtype=np.int64), head)
        return [anomaly for alarm in alarms for anomaly in self._report(alarm, head)]

    def changed(self) -> list[State]:
        """All templates, once one of them has learned: as they grow, several become one."""
        if not self._rates.changed[: self._rates.count].any():
            return []
        found: dict[tuple[str, str, str], tuple[float, float]] = {}
        for code, template in enumerate(self._templates):
            key = (self._services[template], self._miner.level(template).name, self._miner.text(template))
            # Templates that have grown into the same words are one.
            _, before = found.get(key, (0.0, 0.0))
            trials, hits = self._rates.past(code)
            if hits + before > 0:
                found[key] = (trials, hits + before)
        rows = [
            rate_row(LOG, (service, level, ""), ("", words, ""), past)
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
                self._begin(service, template, past)
                self._spans_seen[service] = max(self._spans_seen.get(service, 0.0), past[0])

    def _begin(self, service: str, template: int, past: tuple[float, float]) -> int:
        while len(self._services) <= template:
            self._services.append("")
        self._services[template] = service
        code = self._series[template] = len(self._templates)
        self._templates.append(template)
        self._rates.grow([0], [past])
        return code

    def _series_of(self, row: dict[str, Any]) -> int:
        service = row["service_name"]
        template = self._miner.code(service, row["example"], row["severity_number"])
        known = self._series.get(template)
        if known is not None:
            return known
        if len(self._templates) >= _TEMPLATES_MAX:
            return -1
        # It has never been there in all that its service has done, of which the newest is yet to be learned.
        recent = {tick: n for (name, tick), n in self._spans_at.items() if name == service}
        unsettled = sum(spans for tick, spans in recent.items() if tick > (self._head or 0) - SETTLE_S)
        before = self._spans_seen.get(service, 0.0) - unsettled
        code = self._begin(service, template, (max(before, 0.0), 0.0))
        for tick, spans in recent.items():
            self._rates.add(np.array([code]), np.array([tick]), np.array([spans]), np.zeros(1))
        return code

    def _report(self, alarm: Alarm, head: int) -> list[Anomaly]:
        template = self._templates[alarm.code]
        level, service = self._miner.level(template), self._services[template]
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
                (span["service_name"], span["operation"], span["span_kind"]),
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
