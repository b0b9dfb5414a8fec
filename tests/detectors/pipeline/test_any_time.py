"""What the receivers accept, every reader gets past: times up to 2262, NaN, huge counts, empty names."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import detectors.learning.learner
from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.lake.sealer import Policy, Sealer
from collector.receive.check import check_message
from collector.signals import Signal
from collector.store.store import Store
from detectors.api import answers
from detectors.api.trace_view import load_trace_view
from detectors.localise import Usual, analyse
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings
from detectors.stream.set_aside import TRIES, SetAside
from llm.analysis.subject import load_trace

S = 1_000_000_000
LAST_NS = 2**63 - 2
COLUMNS = {"spans_recent": "span_count", "logs_recent": "log_count", "metrics_recent": "metric_point_count"}
TIMES = st.one_of(
    st.sampled_from([0, 1, S, 1_790_000_000 * S, LAST_NS - 10**6, LAST_NS]), st.integers(0, LAST_NS)
)
FIGURES = [0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324]
WEIRD_TIMES = [0, 1, 1_790_000_000 * S, LAST_NS - 1, LAST_NS]
_numbers = itertools.count(1)


class Readers:
    """A store with a pipeline that judges and learns each batch as it lands."""

    def __init__(self, store: Store, pipeline: Pipeline, clock: Any) -> None:
        self.store, self.pipeline, self.clock = store, pipeline, clock
        self.batch_id = 0

    def insert(self, table: str, rows: pa.Table) -> None:
        with self.store.transaction() as con:
            con.register("rows", rows)
            con.execute(f"INSERT INTO {table} BY NAME SELECT {self.batch_id} AS batch_id, * FROM rows")
            con.unregister("rows")
            con.execute(
                f"UPDATE landing_position SET batch_id = $1, {COLUMNS[table]} = {COLUMNS[table]} + $2",
                [self.batch_id, rows.num_rows],
            )

    def land(self, pairs: list[tuple[int, int]]) -> list[str]:
        """A batch with a trace of two services for each accepted (start, end); returns the trace ids."""
        self.batch_id += 1
        request, trace_ids = ExportTraceServiceRequest(), []
        scopes = []
        for service in ("front", "back"):
            resource = request.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = service
            scopes.append(resource.scope_spans.add())
        for start, end in pairs:
            number = next(_numbers)
            trace_id, parent = number.to_bytes(16, "big"), b""
            for depth, kind in enumerate((2, 3, 2, 4)):  # SERVER, CLIENT, SERVER, PRODUCER
                span_id = (number + depth * 2**40).to_bytes(8, "big")
                scopes[depth // 2].spans.add(
                    trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=f"op{depth}", kind=kind,
                    start_time_unix_nano=start, end_time_unix_nano=end,
                )  # fmt: skip
                parent = span_id
            trace_ids.append(trace_id.hex())
        checked = check_message(Signal.TRACES, request)
        assert checked.rejected_count == 0, checked.reason
        self.insert("spans_recent", decode_traces([checked.payload]))
        self.store.announce_landed(self.batch_id)
        return trace_ids

    def usual(self) -> list[tuple[int, int]]:
        now = self.clock.time_ns()
        return [(now + i * 1_000_000, now + i * 1_000_000 + 5_000_000) for i in range(20)]

    def read(self) -> None:
        """Judge and learn, as the worker does."""
        self.pipeline.judge_landed(self.store.newest_traces_batch_id)
        self.clock.now_s += 6
        self.pipeline.end_quiet_incidents()
        self.pipeline.learn_settled()

    def positions(self) -> tuple[object, object]:
        status = self.pipeline.status()
        return status["position"], status["learn_position"]


@pytest.fixture
def readers(store, pipeline, clock) -> Readers:
    return Readers(store, pipeline, clock)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Any:
    """One store for all examples of a property: what one of them leaves behind must not harm the next."""

    class Clock:
        now_s = 1000.0

        def time_ns(self) -> int:
            return 1_790_000_000 * S + int(self.now_s * 1e9)

    clock = Clock()
    store = Store.open(tmp_path_factory.mktemp("lasting"))
    pipeline = Pipeline(
        store,
        Settings(detect_learn_delay_s=5.0),
        clock_ns=clock.time_ns,
        monotonic_s=lambda: clock.now_s,
    )
    yield Readers(store, pipeline, clock)
    store.close()


@st.composite
def accepted(draw: st.DrawFn) -> tuple[int, int]:
    """A start and an end that `receive/check.py` accepts."""
    start = draw(TIMES)
    return start, draw(st.one_of(st.just(LAST_NS), st.integers(max(start - S, 0), LAST_NS)))


@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example([(1_790_000_000 * S, 9223372036854775000)])
@example([(LAST_NS, LAST_NS)])
@example([(0, LAST_NS)])
@example([(0, 0)])
@given(st.lists(accepted(), min_size=1, max_size=4))
def test_whatever_times_are_accepted_every_reader_reaches_their_batch(lasting, pairs):
    """Detection, learning, views, trace view, explanation and localisation all get past any accepted span."""
    readers = lasting
    odd = readers.land([*readers.usual(), *pairs])[-1]
    alone = readers.land(pairs)[-1]
    readers.read()
    assert readers.positions() == (readers.batch_id, readers.batch_id)
    for trace_id in (odd, alone):
        view = load_trace_view(readers.store, readers.pipeline.baselines, trace_id)
        assert view["duration_ns"] >= 0
        assert all(span["self_time_ns"] >= 0 for span in view["spans"])
        assert len(load_trace(readers.store, trace_id).spans) == 4
    read = readers.store.read
    for name in ("traces", "service_edges", "otel_traces"):
        assert read(f"SELECT * FROM {name}").num_rows
    spans = read(
        "SELECT trace_id, span_id, parent_span_id, service_name, span_name AS operation, span_kind,"
        " epoch_ns(start_time) AS start_unix_nano, duration_ns, status_code, status_message FROM spans"
        " WHERE batch_id = ?",
        [readers.batch_id],
    )
    analyse(spans, Usual(readers.pipeline.baselines.self_times, readers.pipeline.baselines.edge))
    assert readers.pipeline.status()["set_aside"] == {"count": 0, "batches": []}
    for now in (readers.clock.time_ns(), LAST_NS):
        answers.health(readers.store, {}, 0, 60, now)
        answers.topology(readers.store, 300, now)


def test_service_is_learned_beside_a_sender_whose_clock_is_wrong(readers):
    """A span that ends in 2262, and batches of 2262: the others become ready, and their slowness is found."""
    for number in range(12):
        odd = [(readers.clock.time_ns(), 9223372036854775000)] if number == 3 else []
        readers.land([*readers.usual(), *odd])
        readers.land([(LAST_NS, LAST_NS)])
        readers.read()
    ready = readers.store.read("SELECT DISTINCT operation FROM baselines WHERE state = 'ready'")
    assert sorted(ready["operation"].to_pylist()) == ["op0", "op1", "op2", "op3"]
    now = readers.clock.time_ns()
    readers.land([(now + i * S, now + i * S + S // 2) for i in range(5)])
    readers.read()
    found = readers.store.read("SELECT count(*) AS n FROM anomalies WHERE operation = 'op0'")
    assert found["n"][0].as_py() >= 5


def test_extreme_hours_are_sealed_and_no_row_is_lost(readers):
    """Rows of 1970 move to the lake like all others; those of 2262 wait in the database, in sight."""
    pairs = [(0, 0), (5, LAST_NS), (1_790_000_000 * S, LAST_NS), (LAST_NS - S, LAST_NS), (LAST_NS, LAST_NS)]
    readers.land(pairs)
    now = [1_790_000_000 * S + 10**15]
    sealer = Sealer(
        readers.store, Policy(seal_after_s=7200, settle_s=600, interval_s=60), clock_ns=lambda: now[0]
    )
    sealer.run_once()
    now[0] += 601 * S
    assert sealer.run_once() == 12
    assert readers.store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py() == 20
    now[0] = LAST_NS - S  # the last hour is never over, and must not be in the way
    sealer.run_once()
    assert readers.store.read("SELECT count(*) AS n FROM spans_recent")["n"][0].as_py() == 8


@pytest.mark.parametrize("seed", range(3))
def test_whatever_logs_and_metrics_are_accepted_they_are_read(readers, seed):
    """Times of 0 and of 2262, NaN, infinities, empty names and counts of 2⁶⁴-1 stop no reader."""
    rng = random.Random(seed)
    for _ in range(6):
        readers.land(readers.usual())
        readers.read()
        readers.batch_id += 1
        readers.insert("logs_recent", decode_logs([_checked(Signal.LOGS, _logs(rng))]))
        for table in decode_metrics([_checked(Signal.METRICS, _metrics(rng))]):
            readers.insert("metrics_recent", table)
        readers.clock.now_s += 61
        readers.pipeline.end_quiet_incidents()
        readers.pipeline.learn_settled()
    stored = readers.store.read("SELECT batch_id FROM detector_positions WHERE reader = 'signals'")
    assert stored["batch_id"].to_pylist() == [readers.batch_id]
    assert readers.pipeline.status()["set_aside"] == {"count": 0, "batches": []}
    Pipeline(readers.store)  # what they have left can be restored


def _checked(signal: Signal, request: Any) -> bytes:
    checked = check_message(signal, request)
    assert checked.rejected_count == 0, checked.reason
    return checked.payload


def _logs(rng: Any) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = rng.choice(["front", "", "x"])
    scope = resource.scope_logs.add()
    for time_unix_nano in WEIRD_TIMES:
        for severity in (0, 17, 2**31 - 1, -5):
            record = scope.log_records.add(
                time_unix_nano=time_unix_nano,
                observed_time_unix_nano=rng.choice(WEIRD_TIMES),
                severity_number=severity,
            )
            record.body.string_value = rng.choice(["", "a\n", "\x00", f"err {rng.randint(0, 9)}"])
    return request


def _metrics(rng: Any) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for name in ("", "process.memory.usage", "x"):
        for at in WEIRD_TIMES:
            times = {"time_unix_nano": at, "start_time_unix_nano": rng.choice(WEIRD_TIMES)}
            gauge = metrics.add(name=name, unit="By").gauge
            total = metrics.add(name=f"{name}.sum").sum
            total.is_monotonic, total.aggregation_temporality = True, rng.choice([0, 1, 2])
            for points in (gauge.data_points, total.data_points):
                for figure in FIGURES:
                    points.add(as_double=figure, **times)
                points.add(as_int=rng.choice([2**63 - 1, -(2**63), 0]), **times)
            histogram = metrics.add(name=f"{name}.h").histogram
            histogram.aggregation_temporality = rng.choice([1, 2])
            histogram.data_points.add(
                count=rng.choice([0, 3, 2**64 - 1]),
                sum=rng.choice(FIGURES),
                bucket_counts=[2**64 - 1],
                **times,
            )
            exponential = metrics.add(name=f"{name}.e").exponential_histogram.data_points.add(
                count=2**64 - 1, sum=rng.choice(FIGURES), scale=-(2**31), zero_count=2**64 - 1, **times
            )
            exponential.positive.offset = -(2**31)
            summary = metrics.add(name=f"{name}.q").summary.data_points.add(count=2**64 - 1, **times)
            summary.quantile_values.add(quantile=math.nan, value=math.nan)
    return request


def test_batch_that_cannot_be_learned_is_set_aside_and_named(readers, monkeypatch):
    """The third time its batches are taken one by one: the others are learned, and it is named."""
    whole = detectors.learning.learner.learn_and_score

    def poisoned(spans: pa.Table, *rest: Any, **more: Any) -> Any:
        if set(spans["trace_id"].to_pylist()) & bad:
            raise ValueError("no such span")
        return whole(spans, *rest, **more)

    monkeypatch.setattr(detectors.learning.learner, "learn_and_score", poisoned)
    readers.land(readers.usual())
    bad = set(readers.land(readers.usual()))
    poisoned_id = readers.batch_id
    readers.land(readers.usual())
    readers.pipeline.judge_landed(readers.batch_id)
    readers.clock.now_s += 6
    for _ in range(TRIES - 1):
        with pytest.raises(ValueError, match="no such span"):
            readers.pipeline.learn_settled()
    readers.pipeline.learn_settled()
    assert readers.positions() == (3, 3)
    learned = readers.store.read(
        "SELECT sum(sample_count) AS n FROM baseline_sketches WHERE measure = 'duration'"
    )
    assert learned["n"][0].as_py() == 2 * 20 * 4
    aside = readers.pipeline.status()["set_aside"]
    assert aside["count"] == 1
    (named,) = aside["batches"]
    assert (named["reader"], named["batch_id"]) == ("learn", poisoned_id)
    assert named["error"] == "ValueError: no such span"
    readers.pipeline.recalculate()  # which passes over it as well
    assert Pipeline(readers.store).status()["set_aside"]["count"] == 1  # a restart remembers


def test_full_disk_is_no_fault_of_a_batch(store):
    """Failures of the machine are retried for ever, and nothing is set aside."""
    aside = SetAside(store)

    def take(after: int, upto: int) -> None:
        raise OSError("no space left on device")

    for _ in range(2 * TRIES):
        with pytest.raises(OSError, match="no space left"):
            aside.read("learn", (0, 3), take, lambda *_: [1, 2, 3], lambda _: None)
    assert aside.status() == {"count": 0, "batches": []}
