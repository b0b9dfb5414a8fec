"""A store whose rows move to the lake when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.lake.sealer import Policy, Sealer
from collector.store.store import Store

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
ATTRIBUTES = {
    "text": "é",
    "n": 2**62,
    "ratio": float("nan"),
    "blob": b"\x00\xff",
    "list": [1, "a"],
    "yes": True,
}


class Lake:
    """A store, a clock that a test moves, and a sealer that looks when a test says so."""

    def __init__(self, store: Store, make_request: Callable[..., Any], any_value: Callable[..., Any]) -> None:
        self.store, self._make_request, self._any_value = store, make_request, any_value
        self.now_ns = NOON_NS + 100 * HOUR_NS
        self.batch_id = 0
        self.sealer = self.make_sealer()

    def make_sealer(self, **changes: Any) -> Sealer:
        # The database is larger than these files: with a share of them nothing would leave.
        policy = Policy(seal_after_s=7200, settle_s=600, interval_s=60, files_share=0)._replace(**changes)
        return Sealer(self.store, policy, clock_ns=lambda: self.now_ns)

    def land(self, span_count: int = 3, *, hours: int = 0) -> list[str]:
        """Spans that start `hours` after noon; returns their ids."""
        self.batch_id += 1
        request = self._make_request(span_count, attributes=ATTRIBUTES)
        spans = request.resource_spans[0].scope_spans[0].spans
        for number, span in enumerate(spans):
            span.start_time_unix_nano = NOON_NS + hours * HOUR_NS + number + 1
            span.end_time_unix_nano = span.start_time_unix_nano + 7
            event = span.events.add(time_unix_nano=span.start_time_unix_nano + 1, name="e")
            event.attributes.add(key="blob", value=self._any_value(b"\x01\xfe"))
            link = span.links.add(trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x02")
            link.attributes.add(key="deep", value=self._any_value({"a": [1.5]}))
        self._insert("spans_recent", decode_traces([request.SerializeToString()]))
        return [span.span_id.hex() for span in spans]

    def land_others(self) -> None:
        """A log record and a histogram point with an exemplar, at noon."""
        self.batch_id += 1
        logs = ExportLogsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOON_NS + 1)
        record.body.CopyFrom(self._any_value({"message": [b"\xff"]}))
        self._insert("logs_recent", decode_logs([logs.SerializeToString()]))
        metrics = ExportMetricsServiceRequest()
        metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="latency")
        point = metric.histogram.data_points.add(time_unix_nano=NOON_NS + 1, bucket_counts=[1, 2], count=3)
        exemplar = point.exemplars.add(time_unix_nano=NOON_NS, as_double=0.5)
        exemplar.filtered_attributes.add(key="k", value=self._any_value(b"\x00"))
        (table,) = decode_metrics([metrics.SerializeToString()])
        self._insert("metrics_recent", table)

    def settle_and_seal(self) -> int:
        """Look, wait until what has landed is settled, and look again."""
        moved = self.sealer.run_once()
        self.now_ns += 601 * 1_000_000_000
        return moved + self.sealer.run_once()

    def ids(self, source: str = "spans") -> list[str]:
        return sorted(self.store.read(f"SELECT span_id FROM {source}")["span_id"].to_pylist())

    def files(self) -> list[Path]:
        """Every file with rows, whole or not, listed or not."""
        return sorted(self.store.lake.glob("*/date=*/hour=*/*"))

    def listed(self) -> list[str]:
        rows = self.store.read("SELECT path FROM lake_files WHERE expired_at IS NULL ORDER BY 1")
        return [str(path) for path in rows["path"].to_pylist()]

    def database_bytes(self) -> int:
        return self.store.sizes().used_bytes

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and look before and after it."""
        self.sealer.run_once()
        self.now_ns += int(seconds * 1e9)
        self.sealer.run_once()

    def reopen(self) -> None:
        """As after a crash: another process opens the folder."""
        self.store.close()
        self.store = Store.open(self.store.folder)
        self.sealer = self.make_sealer()

    def _insert(self, table: str, rows: Any) -> None:
        with self.store.transaction() as con:
            con.register("rows", rows)
            con.execute(f"INSERT INTO {table} BY NAME SELECT {self.batch_id} AS batch_id, * FROM rows")
            con.execute("UPDATE landing_position SET batch_id = ?", [self.batch_id])


MakeLake = Callable[[Store], Lake]


@pytest.fixture
def make_lake(make_request: Callable[..., Any], any_value: Callable[..., Any]) -> Iterator[MakeLake]:
    """`make_lake(store)`; the store it has in the end is closed."""
    made: list[Lake] = []

    def make(store: Store) -> Lake:
        made.append(Lake(store, make_request, any_value))
        return made[-1]

    yield make
    for lake in made:
        lake.store.close()


@pytest.fixture
def lake(store: Store, make_lake: MakeLake) -> Lake:
    return make_lake(store)
