from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic, sleep

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.process import IDLE_S, Decoder
from collector.decode.records import decode_records
from collector.signals import Signal
from collector.wal.segment import DamagedRecord, Position, Record

START_TIMEOUT_S = 30.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def decoder(clock: Clock) -> Iterator[Decoder]:
    """One whose process is ready and takes batches of any size."""
    decoder = Decoder(process_bytes_min=0, clock_s=clock)
    _await_process(decoder)
    yield decoder
    decoder.close()


def test_process_decodes_as_we_do(decoder: Decoder) -> None:
    """Tables and keys of all signals come back from the other process as they are made in this one."""
    records = [
        _record(Signal.TRACES, _spans(3)),
        _record(Signal.LOGS, _logs()),
        _record(Signal.METRICS, _metrics()),
    ]
    records.append(_record(Signal.TRACES, _spans(2)))
    there, here = decoder.decode(records), decode_records(records)
    assert decoder.process_id is not None
    assert there.keys() == here.keys() == set(Signal)
    for kind, parts in here.items():
        for theirs, ours in zip(there[kind], parts, strict=True):
            assert theirs.table.equals(ours.table, check_metadata=True)
            assert (theirs.keys is None) == (ours.keys is None)
            assert ours.keys is None or theirs.keys.tolist() == ours.keys.tolist()
    assert sum(part.table.num_rows for part in there[Signal.TRACES]) == 5


def test_undecodable_records_are_refused(decoder: Decoder) -> None:
    """Payloads that no parser can read, or of an unknown signal, raise here; the process goes on."""
    process_id = decoder.process_id
    for payload, kind in ((b"\x00poison", Signal.TRACES), (_spans(1), 9)):
        with pytest.raises(ValueError, match=r"."):
            decoder.decode([Record(Position(1, 0), kind, payload)])
    with pytest.raises(ValueError, match="damaged"):
        decoder.decode([DamagedRecord(Position(1, 0), 17)])
    assert _row_count(decoder, 2) == 2
    assert decoder.process_id == process_id


def test_killed_process_is_replaced(decoder: Decoder, clock: Clock) -> None:
    """When the process dies, the batch is decoded here, and later ones in a new process."""
    old = decoder.process_id
    assert old is not None
    os.kill(old, signal.SIGKILL)
    assert _row_count(decoder, 3) == 3
    assert decoder.process_id is None
    clock.now_s += 60
    assert _row_count(decoder, 4) == 4
    _await_process(decoder)
    assert decoder.process_id not in {None, old}


def test_idle_process_ends(decoder: Decoder, clock: Clock) -> None:
    """A process that has had nothing to do for a while gives its memory back."""
    clock.now_s += IDLE_S
    decoder.rest()
    assert decoder.process_id is not None
    clock.now_s += 1
    decoder.rest()
    assert decoder.process_id is None


def test_small_batches_need_no_process() -> None:
    """A server with little to do stays one process."""
    decoder = Decoder()
    assert _row_count(decoder, 3) == 3
    assert decoder.process_id is None


def test_terminal_signals_leave_the_process_alone(decoder: Decoder) -> None:
    """Ctrl-C reaches every process of the terminal; this one is needed until the server has drained."""
    process_id = decoder.process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGINT)
    os.kill(process_id, signal.SIGTERM)
    assert _row_count(decoder, 2) == 2
    assert decoder.process_id == process_id


def test_process_ends_with_a_killed_server() -> None:
    """`kill -9` of the server leaves no decoding process behind."""
    script = (
        "from collector.decode.process import Decoder; import time; d = Decoder(process_bytes_min=0); "
        "d.decode([]); print(d.process_id, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        process_id = int(owner.stdout.readline())
        owner.kill()
    deadline_s = monotonic() + START_TIMEOUT_S
    while _is_running(process_id):
        assert monotonic() < deadline_s, "the decoding process outlives its server"
        sleep(0.05)


def _await_process(decoder: Decoder) -> None:
    deadline_s = monotonic() + START_TIMEOUT_S
    while not (decoder.decode([]) == {} and decoder.is_elsewhere):
        assert monotonic() < deadline_s, "the decoding process does not become ready"
        sleep(0.02)


def _row_count(decoder: Decoder, count: int) -> int:
    decoded = decoder.decode([_record(Signal.TRACES, _spans(count))])
    return sum(part.table.num_rows for part in decoded[Signal.TRACES])


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _record(kind: Signal, payload: bytes) -> Record:
    return Record(Position(1, 0), kind, payload)


def _spans(count: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = resource.scope_spans.add().spans
    for number in range(count):
        span = spans.add(trace_id=bytes(15) + b"\x01", span_id=bytes(7) + bytes([number + 1]), name="buy")
        span.attributes.add(key="amount").value.double_value = number
        span.events.add(name="paid").attributes.add(key="by").value.string_value = "card"
    return request.SerializeToString()


def _logs() -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "sold out"
    return request.SerializeToString()


def _metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="stock").gauge.data_points.add(time_unix_nano=1, as_int=3)
    metrics.add(name="wait").histogram.data_points.add(time_unix_nano=1, count=0, bucket_counts=[0])
    return request.SerializeToString()
