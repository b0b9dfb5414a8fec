"""Logs that land as files: the same rows as in the table, whatever their bodies and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.decode.logs import decode_shredded_logs
from collector.lake.merging import is_merged
from collector.landing.batch import BatchReader
from collector.landing.land import read_position
from collector.signals import Signal
from collector.store.dedupe import load_recent
from collector.store.typed_paths import load_typed_paths
from detectors.pipeline.reader import StoredSpans
from tests.collector.landing.hot.line import EVERY_TYPE, NOON_NS, Line
from tests.pace import patience_s

BODIES: list[Any] = ["text", "", "é" * 300, 7, 2.5, True, b"\x00\xff", ["a", 1], {"a": {"b": "c"}}, None]
SHOWN = """
    SELECT * EXCLUDE (batch_id) REPLACE (
        body::JSON::VARCHAR || ' ' || variant_typeof(body) AS body,
        attributes::JSON::VARCHAR || variant_typeof(attributes) AS attributes,
        resource_attributes::JSON::VARCHAR AS resource_attributes,
        scope_attributes::JSON::VARCHAR AS scope_attributes
    ),
    body IS NULL AS has_no_body
    FROM logs ORDER BY "time"
"""


@pytest.fixture
def request_of(any_value: Callable[..., Any]) -> Callable[..., Any]:
    def make(bodies: list[Any], first: int = 1, **attributes: Any) -> Any:
        """Records a nanosecond apart, every third one without a time of its own."""
        request = ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key="service.name", value=any_value("shop"))
        scope = resource.scope_logs.add()
        for number, body in enumerate(bodies, first):
            record = scope.log_records.add(observed_time_unix_nano=NOON_NS + number, severity_number=9)
            if number % 3:
                record.time_unix_nano = NOON_NS + number
                record.trace_id, record.span_id = number.to_bytes(16, "big"), number.to_bytes(8, "big")
            if body is not None:
                record.body.CopyFrom(any_value(body))
            for key, value in (attributes or EVERY_TYPE).items():
                record.attributes.add(key=key, value=any_value(value))
        return request

    return make


def land(line: Line, *requests: Any, fast: bool = True) -> None:
    for request in requests:
        line.spool.append(Signal.LOGS, request.SerializeToString()).result(5)
    while line.lander.land_available(shred=fast):
        pass


def shown(line: Line) -> list[dict[str, Any]]:
    return [dict(row) for row in line.store.read(SHOWN).to_pylist()]


def places(line: Line) -> dict[str, int]:
    queries = {
        "table": "(SELECT count(*) FROM logs_recent) + (SELECT count(*) FROM logs_packed)",
        "hot": "(SELECT sum(row_count)::BIGINT FROM hot_files WHERE expired_at IS NULL)",
        "lake": "(SELECT sum(row_count)::BIGINT FROM lake_files WHERE expired_at IS NULL)",
    }
    counts = {place: line.value(f"SELECT {query}") for place, query in queries.items()}
    return {place: count for place, count in counts.items() if count}


def test_tiers_are_alike(
    line: Line,
    make_lines: Callable[[], Line],
    request_of: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A record reads the same from the table, a hot file, a joined one and the lake: both times to the
    nanosecond, every type of body and attribute."""
    monkeypatch.setattr("collector.lake.joining.FILES_MIN", 2)
    requests = [request_of(BODIES), request_of(["only", "texts"], first=101), request_of([{}], first=201)]
    slow = make_lines()
    land(slow, *requests, fast=False)
    for request in requests:
        land(line, request, request_of(["beside"], first=request.ByteSize() * 1000))
    expected = [row for row in shown(line) if not row["body"] or "beside" not in row["body"]]
    assert expected == shown(slow)
    assert places(line) == {"hot": len(BODIES) + 6}
    before = shown(line)
    line.sealer.join_hot_files()
    assert line.value("SELECT count(*) FROM hot_files WHERE expired_at IS NULL") == 1
    assert shown(line) == before
    line.reopen()
    assert line.sealer.run_once() == len(BODIES) + 6
    assert places(line) == {"lake": len(BODIES) + 6}
    assert shown(line) == before
    line.now_ns += 1_000_000_000_000
    line.sealer.run_once()
    assert list((line.store.folder / "hot" / "logs").iterdir()) == []


def test_merged_files_are_merged_again(line: Line, request_of: Callable[..., Any]) -> None:
    """What comes late to an hour of the lake is merged with its file by sorting alone; nothing changes."""
    for first in (1, 101, 201):
        land(line, request_of(BODIES, first=first))
        before = shown(line)
        line.sealer.run_once()
        assert shown(line) == before
        assert places(line) == {"lake": len(before)}
    assert len(before) == 3 * len(BODIES)
    files = line.store.read("SELECT path, expired_at IS NULL AS is_shown FROM lake_files").to_pylist()
    (merged,) = [line.store.lake / file["path"] for file in files if file["is_shown"]]
    assert len(files) > 3
    assert is_merged(merged)


def test_no_body_is_null_for_every_engine(request_of: Callable[..., Any]) -> None:
    """A body that was not sent is NULL in the file itself, not a Variant that holds null."""
    bodies = decode_shredded_logs([request_of(["text", None, 7], k="v").SerializeToString()]).shredded["body"]
    assert bodies.is_null().to_pylist() == [False, True, False]


def test_maps_go_to_the_table(line: Line, request_of: Callable[..., Any]) -> None:
    """A record with a map in an attribute takes the table's way, once, beside spans of the same landing."""
    line.spool.append(Signal.TRACES, line.request(3).SerializeToString()).result(5)
    land(line, request_of(["a", "b"], deep={"a": 1}), request_of(["c", "d", "e"], first=11, k="v"))
    assert places(line) == {"table": 2, "hot": 6}
    assert line.value("SELECT list(body::VARCHAR ORDER BY body::VARCHAR) FROM logs") == list("abcde")
    assert line.sealer.run_once() == 8
    assert line.value("SELECT list(body::VARCHAR ORDER BY body::VARCHAR) FROM logs") == list("abcde")
    assert line.value("SELECT count(*) FROM spans") == 3


def test_conditions_reach_the_columns(line: Line, request_of: Callable[..., Any]) -> None:
    """A condition on an attribute is evaluated by its column in a hot file and in the merged one."""
    land(line, request_of(["text"] * 20, route="/a"))
    for _ in range(2):
        query = "SELECT count(*) FROM logs WHERE attributes['route']::VARCHAR = '/b'"
        assert line.reaches("attributes.route", query)
        assert line.value(query) == 0
        line.sealer.run_once()
    assert places(line) == {"lake": 20}


def test_detection_reads_them(line: Line, request_of: Callable[..., Any]) -> None:
    """Detection learns of records in a hot file, and reads each once."""
    land(line, request_of(["a", "b"]), request_of(["c"], first=11))
    reader = StoredSpans(line.store)
    landed = line.lander.totals.batch_id
    assert reader.position(landed + 1)["logs_batch_id"] == landed
    assert reader.lines(0, landed).num_rows == 3


def test_each_signal_by_its_own_rate(line: Line, request_of: Callable[..., Any]) -> None:
    """Only the signal that comes fast lands as a file; what comes beside it slowly goes to its table."""
    logs = request_of(["x" * 1000] * 40).SerializeToString()
    spans = line.request(1, k="v").SerializeToString()
    for signal, payload in ((Signal.TRACES, spans), (Signal.LOGS, logs)):
        line.spool.append(signal, payload).result(5)
    cursor = line.store.cursor()
    reader = BatchReader(
        line.spool,
        load_recent(cursor),
        load_typed_paths(cursor),
        read_position(line.store)[0],
        interval_s=0.001,
        max_bytes=1 << 20,
        hot_bytes=len(logs),
    )
    reader.start()
    batch = reader.next(patience_s(20))
    reader.abandon()
    assert batch is not None
    assert batch.tables is not None
    are_shredded = {signal: [rows.is_shredded for rows in parts] for signal, parts in batch.tables.items()}
    assert are_shredded == {Signal.TRACES: [False], Signal.LOGS: [True]}
