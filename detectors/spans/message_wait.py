"""Messages that wait: sigma = Phi^-1(1 - S(wait)), wait = start of the consumer - end of its producer.

One message is an anomaly by itself when its wait was long in absolute terms: a second, and ten times the time
that 99 of 100 messages stay below. 3σ is then enough; otherwise 5σ is needed.

The consumer's link names the producer; without a link its parent does. Waits are judged by the tail of the
consuming operation's own history (`detectors.stream.upper_tail`) and by sustained shifts
(`detectors.spans.latency_shift`). The duration of a span never includes such a wait. Different clocks of two
hosts may make a wait negative; it counts as 0 (`detectors.trace.analysis`).

>>> message_wait_ns(np.array([1_500, 1_500]), np.array([1_000, 1_600]))
array([500,   0])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Baselines, Model
from detectors.baseline.sketch_index import DELTA_SCHEMA, MESSAGE_WAIT
from detectors.model.anomaly import MESSAGE_WAIT as DETECTOR
from detectors.model.anomaly import Anomaly
from detectors.model.text import duration_text
from detectors.settings import Settings
from detectors.spans.latency_shift import ShiftWatch, with_shift
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import bucket_of
from detectors.stream.batch import Batch
from detectors.stream.detector import Detector, Input, Step, Verdict
from detectors.stream.span_groups import group_spans
from detectors.stream.span_join import ROW_COLUMNS, Kinship
from detectors.stream.upper_tail import exceeding, tail_anomaly
from detectors.trace.analysis import message_wait_ns

_LASTED_MAX = 20_000
_LONG_NS, _LONG_TIMES = 1e9, 10.0
_ALONE_SEVERITY = 3  # in four minutes of a shared machine: 68 lone waits of SEV5 and SEV4, 1 of SEV3
_KEPT_MAX = 100_000  # waits that still have to be learned
_NEEDED = [*ROW_COLUMNS, "span_hash", "producer_hash"]
_KEYS = [name for name in DELTA_SCHEMA.names if name != "sample_count"]


class MessageWaitWatch(Detector):
    """Follows all consumers. Not thread-safe."""

    name = "message_wait"
    detector = DETECTOR
    input = Input.SPANS

    def __init__(self, baselines: Baselines, settings: Settings) -> None:
        self._model = baselines.message_wait
        self._settings = settings
        self._kinship = Kinship("producer_hash")
        self._shifts = ShiftWatch(settings, self._report)
        self._seen: list[tuple[float, pa.Table]] = []  # waits to be learned, and when each table was seen
        self._flagged: dict[str, None] = {}
        # For each operation: whether it sends messages, and whether it receives them.
        self._sends, self._takes = np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.bool_)
        self._lasted: dict[str, int] = {}  # own durations of the spans whose waits were long

    def observe(self, step: Step) -> Verdict:
        judged = [self.judge(batch, step.now_s) for batch in step.batches]
        new, raised = [found for new, _ in judged for found in new], [found for _, w in judged for found in w]
        return Verdict(new, raised)

    def judge(self, batch: Batch, now_s: float) -> tuple[list[Anomaly], list[Anomaly]]:
        """(new anomalies, known ones that have become worse)."""
        waits = self._waits(batch)
        if waits is None or not waits.num_rows:
            return [], []
        long = waits.filter(pc.greater(waits["duration_ns"], int(self._settings.detect_min_excess_ms * 1e6)))
        self._lasted |= zip(long["span_id"].to_pylist(), long["span_duration_ns"].to_pylist(), strict=True)
        for span_id in list(self._lasted)[:-_LASTED_MAX]:
            del self._lasted[span_id]
        groups = group_spans(waits, self._model)
        alone = exceeding(waits["duration_ns"].to_numpy(), groups.models, groups.group_of, self._settings)
        # A pause of a busy machine makes messages wait too: a single message counts only after a long wait.
        wait_ns = waits["duration_ns"].to_numpy()
        long_ones = [
            one for one in alone if one.severity <= _ALONE_SEVERITY or _is_long(wait_ns[one.place], one.model)
        ]
        rows = waits.take(pa.array([one.place for one in long_ones], pa.int64())).to_pylist()
        slow = [
            self._report(row, one.model, one.sigma, one.severity, {})
            for row, one in zip(rows, long_ones, strict=True)
        ]
        new, raised = with_shift(slow, self._shifts.observe(waits, groups, now_s))
        self._flagged |= dict.fromkeys(anomaly.span_id for anomaly in new)
        if sum(part.num_rows for _, part in self._seen) < _KEPT_MAX:
            self._seen.append((now_s, waits))
        return new, raised

    def learned(self, before_s: float) -> pa.Table:
        """Rows of `DELTA_SCHEMA` of unflagged waits seen before `before_s`; each row is returned once."""
        due = [part for at_s, part in self._seen if at_s <= before_s]
        self._seen = self._seen[len(due) :]
        if not due:
            return DELTA_SCHEMA.empty_table()
        waits = pa.concat_tables(due)
        flagged = pa.array(list(self._flagged), pa.string())
        waits = waits.filter(pc.invert(pc.is_in(waits["span_id"], value_set=flagged)))
        if not self._seen:
            self._flagged.clear()
        count = waits.num_rows
        table = pa.table(
            {
                "measure": pa.repeat(MESSAGE_WAIT, count),
                "service_name": waits["service_name"],
                "operation": waits["operation"],
                "span_kind": waits["span_kind"],
                "facet": pa.repeat("", count),
                "hour_of_week": hour_of_week(waits["start_unix_nano"].to_numpy()).astype(np.int16),
                "flagged": pa.repeat(False, count),
                "bucket": bucket_of(waits["duration_ns"].to_numpy()).astype(np.int32),
            }
        )
        counted = table.group_by(_KEYS).aggregate([([], "count_all")])
        return counted.rename_columns([*_KEYS, "sample_count"]).select(DELTA_SCHEMA.names).cast(DELTA_SCHEMA)

    def _report(
        self, row: dict[str, Any], model: Model, sigma: float, severity: int, details: dict[str, object]
    ) -> Anomaly:
        wait_ns = float(row["duration_ns"])
        text = f"a message waited {duration_text(wait_ns)}, usually {duration_text(model.tail.p50)}"
        lasted = self._lasted.get(row["span_id"], row["duration_ns"])
        return tail_anomaly(
            DETECTOR,
            {**row, "duration_ns": lasted},
            model,
            sigma,
            severity,
            observed=wait_ns,
            details={"direction": "slower", **details, "text": text},
        )

    def _waits(self, batch: Batch) -> pa.Table | None:
        """Consumers whose producer is known, as spans whose duration is the wait of their message."""
        keys = batch.operations.keys
        if fresh := keys[len(self._sends) :]:
            self._sends = np.append(self._sends, [key[2] == "PRODUCER" for key in fresh])
            self._takes = np.append(self._takes, [key[2] == "CONSUMER" for key in fresh])
        rows = np.flatnonzero((self._sends | self._takes)[batch.codes])
        if not len(rows):
            return None  # the usual case where no messages are sent
        part = replace(
            batch,
            spans=batch.spans.select(_NEEDED).take(pa.array(rows)),
            codes=batch.codes[rows],
            ticks=batch.ticks[rows],
            late=batch.late[rows],
        )
        kin = self._kinship.meet(part)
        kin = kin.take(np.flatnonzero(self._sends[kin.parent_code]))
        codes, place = np.unique(kin.child_code, return_inverse=True)
        names = [keys[code] for code in codes.tolist()]
        rows_of = pa.array(place)
        wait_ns = message_wait_ns(kin.start_unix_nano, kin.parent_end)
        ids = kin.rows()
        return pa.table(
            {
                "trace_id": ids["trace_id"],
                "span_id": ids["span_id"],
                "service_name": _texts(name[0] for name in names).take(rows_of),
                "operation": _texts(name[1] for name in names).take(rows_of),
                "span_kind": _texts(name[2] for name in names).take(rows_of),
                "start_unix_nano": kin.start_unix_nano,
                "duration_ns": wait_ns,
                "span_duration_ns": kin.duration_ns,
                "operation_key": _texts("\x1f".join(name) for name in names).take(rows_of),
            }
        )


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _is_long(wait_ns: int, model: Model) -> bool:
    """Whether the wait of one message is long enough to be reported by itself."""
    return wait_ns >= max(_LONG_NS, _LONG_TIMES * model.tail.quantile(0.99))
