"""Keys that never come twice, in every place where OTLP allows keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store.lake import SEALED_SIGNALS
from collector.store.store import Store
from collector.store.typed_paths import AT_ONCE_MAX, IN_TABLE_MAX, ROWS_MIN, TYPED_MAX, TypedPaths
from collector.wal.spool import Spool
from tests.collector.conftest import any_value

pytestmark = pytest.mark.long

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
COUNT = 400  # items, each with a key of its own
PIECES = 8  # landings they come in
USUAL = {"http.route": "/orders", "http.status": 200, "ratio": 0.5, "ok": True}

# Where the keys stand: the view, and how SQL reads key {} there.
PLACES = {
    "attributes": ("spans", "attributes[{}]"),
    "nested": ("spans", "attributes['map'][{}]"),
    "in_list": ("spans", "attributes['list'][1][{}]"),
    "resource": ("spans", "resource_attributes[{}]"),
    "scope": ("spans", "scope_attributes[{}]"),
    "event": ("spans", "events[1].attributes[{}]"),
    "link": ("spans", "links[1].attributes[{}]"),
    "log": ("logs", "attributes[{}]"),
    "body": ("logs", "body[{}]"),
    "deep_body": ("logs", "body['a']['b'][{}]"),
    "point": ("metrics", "attributes[{}]"),
    "exemplar": ("metrics", "exemplars[1].filtered_attributes[{}]"),
    "metadata": ("metrics", "metric_metadata[{}]"),
}


def pair(key: str, value: object) -> KeyValue:
    return KeyValue(key=key, value=any_value(value))


class Line:
    """A folder whose spool lands, and whose hours seal, when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder)
        self.spool = Spool(
            folder / "spool",
            landed=read_position(self.store)[0],
            max_bytes=1 << 26,
            segment_bytes=1 << 20,
            torn_folder=folder / "quarantine",
        )
        self.lander = Lander(self.store, self.spool, interval_ms=1, max_bytes=1 << 26, clock_ns=lambda: 42)
        self.now_ns = NOON_NS + 100 * HOUR_NS
        policy = Policy(seal_after_s=7200, settle_s=0, interval_s=60)
        self.sealer = Sealer(self.store, policy, clock_ns=lambda: self.now_ns)

    def land(self, signal: Signal, payload: bytes) -> None:
        self.spool.append(signal, payload).result(5)
        assert self.lander.land_available()

    def seal(self) -> None:
        for _ in range(2):
            self.sealer.run_once()
            self.now_ns += HOUR_NS

    def value(self, query: str) -> Any:
        ((found,),) = (row.values() for row in self.store.read(f"{query}").to_pylist())
        return found

    def close(self) -> None:
        self.spool.close()
        self.store.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "data")
    yield made
    made.close()


def request_of(place: str, numbers: range) -> tuple[Signal, bytes]:
    """Items of which number n has the key `key.n` in that place, with the value n."""
    view = PLACES[place][0]
    if view == "spans":
        return Signal.TRACES, _spans(place, numbers).SerializeToString()
    if view == "logs":
        logs = ExportLogsServiceRequest()
        records = logs.resource_logs.add().scope_logs.add().log_records
        for n in numbers:
            record = records.add(time_unix_nano=NOON_NS + n)
            record.attributes.extend(pair(*usual) for usual in USUAL.items())
            if place == "log":
                record.attributes.append(pair(f"key.{n}", n))
            else:
                body = {f"key.{n}": n} if place == "body" else {"a": {"b": {f"key.{n}": n}}}
                record.body.CopyFrom(pair("", body).value)
        return Signal.LOGS, logs.SerializeToString()
    metrics = ExportMetricsServiceRequest()
    of_scope = metrics.resource_metrics.add().scope_metrics.add().metrics
    for n in numbers:
        metric = of_scope.add(name="m")
        point = metric.gauge.data_points.add(time_unix_nano=NOON_NS + n, as_int=n)
        point.attributes.extend(pair(*usual) for usual in USUAL.items())
        rare = pair(f"key.{n}", n)
        {
            "point": point.attributes,
            "exemplar": point.exemplars.add(time_unix_nano=NOON_NS).filtered_attributes,
            "metadata": metric.metadata,
        }[place].append(rare)
    return Signal.METRICS, metrics.SerializeToString()


def _spans(place: str, numbers: range) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for n in numbers:
        resource = request.resource_spans.add()
        scope = resource.scope_spans.add()
        span = scope.spans.add(
            trace_id=(n + 1).to_bytes(16, "big"),
            span_id=(n + 1).to_bytes(8, "big"),
            name="op",
            start_time_unix_nano=NOON_NS + n,
            end_time_unix_nano=NOON_NS + n + 1,
        )
        span.attributes.extend(pair(*usual) for usual in USUAL.items())
        rare = {f"key.{n}": n}
        if place == "nested":
            span.attributes.append(pair("map", rare))
        elif place == "in_list":
            span.attributes.append(pair("list", [rare]))
        else:
            {
                "attributes": span.attributes,
                "resource": resource.resource.attributes,
                "scope": scope.scope.attributes,
                "event": span.events.add(time_unix_nano=NOON_NS, name="e").attributes,
                "link": span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8).attributes,
            }[place].append(pair(f"key.{n}", n))
    return request


def distinct_keys(line: Line, source: str) -> int:
    """How many names of keys all rows of a table or file hold, at any depth."""
    rows = line.store.read(f"SELECT to_json(r)::VARCHAR AS row FROM {source} AS r")["row"].to_pylist()
    names: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            names.update(value)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for row in rows:
        walk(json.loads(row))
    return sum(name.startswith("key.") for name in names)


def columns_of_files(line: Line) -> int:
    """Columns of the lake file that has most."""
    files = [str(path) for path in line.store.lake.glob("*/date=*/hour=*/*.parquet")]
    return max(
        line.value(f"SELECT count(*) AS n FROM parquet_schema('{file}') WHERE num_children IS NULL")
        for file in files
    )


@pytest.mark.parametrize("place", PLACES)
def test_rare_keys_take_no_columns(place: str, line: Line) -> None:
    """Wherever keys may stand, those that never come twice get a bounded number of columns in the database
    and in the lake, over any number of landings; each value is found by its key, before and after sealing."""
    view, accessor = PLACES[place]
    (signal,) = (s for s in SEALED_SIGNALS if s.view == view)
    size = COUNT // PIECES
    for piece in range(PIECES):
        line.land(*request_of(place, range(piece * size, (piece + 1) * size)))

    def check() -> None:
        assert line.value(f"SELECT count(*) AS n FROM {view}") == COUNT
        for n in (0, COUNT // 2, COUNT - 1):
            key = accessor.format(f"'key.{n}'")
            found = line.store.read(
                f"SELECT {key}::BIGINT AS n, variant_typeof(attributes['ratio']) AS kind FROM {view}"
                f" WHERE {key}::BIGINT IS NOT NULL"
            ).to_pylist()
            assert found == [{"n": n, "kind": "DOUBLE"}]
        assert (
            line.value(f"SELECT count(*) AS n FROM {view} WHERE attributes['http.status']::INT = 200")
            == COUNT
        )

    check()
    assert distinct_keys(line, signal.table) <= AT_ONCE_MAX
    line.seal()
    assert line.value(f"SELECT count(*) AS n FROM {signal.table}") == 0
    assert line.value(f"SELECT count(*) AS n FROM {signal.packed_table}") == 0
    check()
    # Each path has two leaves, and each row some fifty columns of other kinds.
    assert columns_of_files(line) <= 2 * TYPED_MAX + 100


def test_bound_outlives_the_process(tmp_path: Path) -> None:
    """A server that starts again and again types no more paths than one that runs on."""
    for life in range(5):
        line = Line(tmp_path / "data")
        line.land(*request_of("attributes", range(life * 100, life * 100 + 100)))
        assert distinct_keys(line, "spans_recent") <= AT_ONCE_MAX
        line.close()


def test_compacted_file_is_bounded(line: Line) -> None:
    """Files with few paths each become one file with a bounded number, in which every key is found."""
    for piece in range(4):
        line.land(*request_of("attributes", range(piece * 100, piece * 100 + 100)))
        line.now_ns += 1
        line.sealer.run_once()
        line.now_ns += HOUR_NS
        line.sealer.run_once()
    assert line.value("SELECT count(*) AS n FROM lake_files WHERE expired_at IS NULL") == 1
    assert columns_of_files(line) <= 2 * TYPED_MAX + 100
    assert line.value("SELECT count(*) AS n FROM spans WHERE attributes['key.399']::INT = 399") == 1


def test_frequent_paths_win() -> None:
    """After any number of rare keys a frequent one is typed, and a rare one makes room for it; places of rows
    that are still there are not given away."""
    paths = TypedPaths()
    for n in range(5 * TYPED_MAX):
        paths.admit({f"attributes\x1frare.{n}": 1})
    for n in range(TYPED_MAX):
        paths.admit({f"attributes\x1ffrequent.{n}": 10 * ROWS_MIN})
    rows = paths.unstored()
    assert rows is not None
    typed = [path for path, last_batch_id in rows[1] if last_batch_id is None]
    assert len(typed) == TYPED_MAX
    assert len(rows[1]) == IN_TABLE_MAX
    assert sum("frequent" in path for path in typed) == IN_TABLE_MAX - AT_ONCE_MAX
    assert paths.is_crowded
    paths.oldest_is(1_000)  # the rows of the rare ones have left
    for n in range(TYPED_MAX):
        paths.admit({f"attributes\x1ffrequent.{n}": 10 * ROWS_MIN})
    known = paths.admit({"attributes\x1fanother": 1})
    assert known is not None
    assert sum("frequent" in path for path in known) == IN_TABLE_MAX - AT_ONCE_MAX + IN_TABLE_MAX - TYPED_MAX


def test_crowded_table_makes_room(line: Line) -> None:
    """When old rows have been sealed, the places of their keys are free for frequent ones."""
    line.land(*request_of("attributes", range(2 * TYPED_MAX)))
    many = {f"frequent.{n}": n for n in range(TYPED_MAX)}
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for n in range(4 * ROWS_MIN):
        span = spans.add(trace_id=b"\x07" * 16, span_id=(n + 1).to_bytes(8, "big"), name="often")
        span.start_time_unix_nano = span.end_time_unix_nano = NOON_NS + 50 * HOUR_NS
        span.attributes.extend(pair(*item) for item in many.items())
    line.land(Signal.TRACES, request.SerializeToString())
    assert line.lander.typed[Signal.TRACES].is_crowded
    line.seal()
    for n in range(20):
        line.land(*request_of("log", range(n, n + 1)))
    line.lander.look_for_room()
    assert not line.lander.typed[Signal.TRACES].is_crowded


def test_many_keys_in_one_span(line: Line) -> None:
    """One span with 20,000 keys, and one with 2,000 lists in lists, are stored and read like any other."""
    request = _spans("attributes", range(2))
    first, second = (resource.scope_spans[0].spans[0] for resource in request.resource_spans)
    first.attributes.extend(pair(f"many.{n}", n) for n in range(20_000))
    second.attributes.extend(pair(f"deep.{n}", [[n]]) for n in range(2_000))
    line.land(Signal.TRACES, request.SerializeToString())
    assert line.value("SELECT count(*) AS n FROM spans WHERE attributes['many.19999']::INT = 19999") == 1
    assert (
        line.value("SELECT attributes['deep.1999']::JSON::VARCHAR AS n FROM spans WHERE span_id LIKE '%2'")
        == "[[1999]]"
    )
    line.seal()
    assert line.value("SELECT count(*) AS n FROM spans WHERE attributes['many.19999']::INT = 19999") == 1


def test_strange_keys(line: Line) -> None:
    """Keys that are empty, quotes, control characters, of other scripts or equal but for case keep their
    values, in the database and in a file that was written with chosen columns."""
    keys = [
        "",
        "'",
        '"',
        "a'b\"c",
        "\x00",
        "\x1f",
        "\n",
        "\u043a\u043b\u044e\u0447",
        "Case",
        "case",
        "CASE",
        "[]",
        "x" * 300,
        "a.b",
        "$",
    ]
    request = _spans("attributes", range(300))
    for resource in request.resource_spans:
        resource.scope_spans[0].spans[0].attributes.extend(pair(key, key) for key in keys)
    line.land(Signal.TRACES, request.SerializeToString())
    before = line.store.read("SELECT attributes::JSON::VARCHAR AS a FROM spans ORDER BY span_id")[
        "a"
    ].to_pylist()
    assert all(json.loads(before[7])[key] == key for key in keys)
    line.seal()
    after = line.store.read("SELECT attributes::JSON::VARCHAR AS a FROM spans ORDER BY span_id")[
        "a"
    ].to_pylist()
    assert list(map(json.loads, after)) == list(map(json.loads, before))


def test_later_version_of_a_packed_span(line: Line) -> None:
    """A span that came with a rare key and comes again with a later end is replaced, as any other."""
    line.land(*request_of("attributes", range(2 * AT_ONCE_MAX)))
    request = _spans("attributes", range(2 * AT_ONCE_MAX - 1, 2 * AT_ONCE_MAX))
    request.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1_000
    line.land(Signal.TRACES, request.SerializeToString())
    assert line.value("SELECT count(*) AS n FROM spans") == 2 * AT_ONCE_MAX
    assert line.value("SELECT max(duration_ns) AS n FROM spans") == 1_001
    assert line.value("SELECT count(*) AS n FROM spans_packed") == AT_ONCE_MAX + len(USUAL)


def test_real_server(tmp_path: Path) -> None:
    """`spyhop serve` takes 5,000 keys that never come twice: they are found by key before and after a kill
    and sealing, memory grows by less than 400 MB, and SIGTERM ends it without an abort."""
    script = Path(__file__).parent.parent / "benchmarks" / "attribute_keys.py"
    command = [sys.executable, script, "--keys", "5000", "--distinct-only", "--json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["kinds"]["span"]["distinct"]
    assert found["landed_peak_mb"] - found["idle_mb"] < 400
    assert found["exit_code"] == 0
