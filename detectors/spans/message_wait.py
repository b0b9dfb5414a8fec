"""Messages that wait: sigma = Phi^-1(1 - S(gap)), gap = start of the consumer - end of its producer.

The consumer's link names the producer, else its parent does. Gaps are judged like durations of the
consuming operation (`detectors.spans.latency` and `.shift`: tail of its own history, minimum effect,
sustained shifts), for a message that waits shows in no span's duration. Clocks of two hosts that differ may
make a gap negative; it counts as none (`detectors.trace.analysis`).

>>> message_wait_ns(np.array([1_500, 1_500]), np.array([1_000, 1_600]))
array([500,   0])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Baselines, Model
from detectors.baseline.sketch_index import DELTA_SCHEMA, GAP_MEASURE
from detectors.model.anomaly import GAP, Anomaly, anomaly_id
from detectors.model.text import duration_text
from detectors.settings import Settings
from detectors.spans.latency import detect_latency
from detectors.spans.latency_shift import ShiftWatch
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import bucket_of
from detectors.stream.batch import Batch
from detectors.stream.span_groups import group_spans
from detectors.stream.span_join import ROW_COLUMNS, Kinship
from detectors.trace.analysis import message_wait_ns

_LASTED_MAX = 20_000
_ALONE_SEVERITY = 3  # in four minutes of a shared machine: 68 lone gaps of SEV5 and SEV4, 1 of SEV3
_KEPT_MAX = 100_000  # gaps that wait to be learned
_NEEDED = [*ROW_COLUMNS, "span_hash", "producer_hash"]
_KEYS = [name for name in DELTA_SCHEMA.names if name != "sample_count"]


class _Gaps:
    """The gap models under the name that latency looks for."""

    def __init__(self, baselines: Baselines) -> None:
        self._baselines = baselines

    def duration(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None:
        return self._baselines.gap(service_name, operation, span_kind, hour)


class GapWatch:
    """Follows all consumers. Not thread-safe."""

    name = GAP

    def __init__(self, baselines: Baselines, settings: Settings) -> None:
        self._models = _Gaps(baselines)
        self._settings = settings
        self._kinship = Kinship("producer_hash")
        self._shifts = ShiftWatch(settings)
        self._seen: list[tuple[float, pa.Table]] = []  # what is to be learned, and since when
        self._flagged: dict[str, None] = {}
        # Of each operation, whether it sends messages, and whether it takes them.
        self._sends, self._takes = np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.bool_)
        self._lasted: dict[str, int] = {}  # how long the spans of long waits took themselves

    def observe(self, batch: Batch, now_s: float) -> tuple[list[Anomaly], list[Anomaly]]:
        """(new anomalies, known ones that have become worse)."""
        gaps = self._gaps(batch)
        if not gaps.num_rows:
            return [], []
        long = gaps.filter(pc.greater(gaps["duration_ns"], int(self._settings.detect_min_excess_ms * 1e6)))
        self._lasted |= zip(long["span_id"].to_pylist(), long["span_duration_ns"].to_pylist(), strict=True)
        for span_id in list(self._lasted)[:-_LASTED_MAX]:
            del self._lasted[span_id]
        groups = group_spans(gaps, self._models)
        alone = detect_latency(gaps, self._models, self._settings, groups)
        # A pause of a busy machine is waited for in queues: one message that waited counts when it was long.
        slow = [anomaly for anomaly in alone if anomaly.severity <= _ALONE_SEVERITY]
        shifted = self._shifts.observe(gaps, groups, now_s)
        new = {anomaly.span_id: anomaly for anomaly in [*slow, *shifted.new]}
        raised = []
        for anomaly in shifted.raised:
            if anomaly.span_id in new:
                new[anomaly.span_id] = anomaly
            else:
                raised.append(anomaly)
        self._flagged |= dict.fromkeys(new)
        if sum(part.num_rows for _, part in self._seen) < _KEPT_MAX:
            self._seen.append((now_s, gaps))
        return [self._as_gap(a) for a in new.values()], [self._as_gap(a) for a in raised]

    def learned(self, before_s: float) -> pa.Table:
        """Rows of `DELTA_SCHEMA` of what was seen until then and not flagged; each is given once."""
        due = [part for at_s, part in self._seen if at_s <= before_s]
        self._seen = self._seen[len(due) :]
        if not due:
            return DELTA_SCHEMA.empty_table()
        gaps = pa.concat_tables(due)
        flagged = pa.array(list(self._flagged), pa.string())
        gaps = gaps.filter(pc.invert(pc.is_in(gaps["span_id"], value_set=flagged)))
        if not self._seen:
            self._flagged.clear()
        count = gaps.num_rows
        table = pa.table(
            {
                "measure": pa.repeat(GAP_MEASURE, count),
                "service_name": gaps["service_name"],
                "operation": gaps["operation"],
                "span_kind": gaps["span_kind"],
                "facet": pa.repeat("", count),
                "hour_of_week": hour_of_week(gaps["start_unix_nano"].to_numpy()).astype(np.int16),
                "flagged": pa.repeat(False, count),
                "bucket": bucket_of(gaps["duration_ns"].to_numpy()).astype(np.int32),
            }
        )
        counted = table.group_by(_KEYS).aggregate([([], "count_all")])
        return counted.rename_columns([*_KEYS, "sample_count"]).select(DELTA_SCHEMA.names).cast(DELTA_SCHEMA)

    def _as_gap(self, slow: Anomaly) -> Anomaly:
        text = f"a message waited {duration_text(slow.observed)}, usually {duration_text(slow.expected)}"
        return replace(
            slow,
            anomaly_id=anomaly_id(GAP, slow.trace_id, slow.span_id),
            detector=GAP,
            span_duration_ns=self._lasted.get(slow.span_id, slow.span_duration_ns),
            details={**slow.details, "text": text},
        )

    def _gaps(self, batch: Batch) -> pa.Table:
        """Consumers whose producer is known, as spans that last as long as their message waited."""
        keys = batch.operations.keys
        if fresh := keys[len(self._sends) :]:
            self._sends = np.append(self._sends, [key[2] == "PRODUCER" for key in fresh])
            self._takes = np.append(self._takes, [key[2] == "CONSUMER" for key in fresh])
        rows = np.flatnonzero((self._sends | self._takes)[batch.codes])
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
        waited = message_wait_ns(kin.start_unix_nano, kin.parent_end)
        ids = kin.rows()
        return pa.table(
            {
                "trace_id": ids["trace_id"],
                "span_id": ids["span_id"],
                "service_name": _texts(name[0] for name in names).take(rows_of),
                "operation": _texts(name[1] for name in names).take(rows_of),
                "span_kind": _texts(name[2] for name in names).take(rows_of),
                "start_unix_nano": kin.start_unix_nano,
                "duration_ns": waited,
                "span_duration_ns": kin.duration_ns,
                "operation_key": _texts("\x1f".join(name) for name in names).take(rows_of),
            }
        )


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())
