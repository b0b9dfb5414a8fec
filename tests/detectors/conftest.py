"""A small synthetic system, inserted straight into the store as landing would."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings

MS = 1_000_000
START_NS = 1_790_000_000 * 10**9

_INSERT = """
INSERT INTO spans_recent BY NAME
SELECT
    batch_id, trace_id, span_id, parent_span_id, '' AS trace_state, 0 AS flags, service_name, span_name,
    span_kind, make_timestamp_ns(start_unix_nano) AS start_time, duration_ns, status_code,
    '' AS status_message, attributes::JSON::VARIANT AS attributes, 0 AS dropped_attributes_count,
    [] AS events, 0 AS dropped_events_count, [] AS links, 0 AS dropped_links_count,
    resource::JSON::VARIANT AS resource_attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, NULL AS scope_attributes,
    0 AS scope_dropped_attributes_count, '' AS scope_schema_url
FROM landed
"""


@dataclass
class Clock:
    """Time that a test moves by hand."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return START_NS + int(self.now_s * 1e9)


@dataclass
class System:
    """Orders of three spans: wallet → exchange → database, about 5, 3 and 1 ms.

    Durations are log-normal. `land` inserts what has been traced since the last call as one batch.
    """

    store: Store
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    now_ns: int = START_NS
    batch_id: int = 0
    trace_count: int = 0
    rows: list[dict[str, object]] = field(default_factory=list)
    version: str = "1.0"  # of both services

    def order(self, *, db_ns: int | None = None, btc: float | None = None, failed: bool = False) -> str:
        """One trace; returns its id."""
        self.trace_count += 1
        trace_id = f"{self.trace_count:032x}"
        noise = np.exp(0.2 * self.rng.standard_normal(3))
        db = int(MS * noise[0]) if db_ns is None else db_ns
        api = db + int(2 * MS * noise[1])
        whole = api + int(2 * MS * noise[2])
        quantity = float(0.1 * np.exp(0.5 * self.rng.standard_normal())) if btc is None else btc
        amount = f'{{"order.quantity": {quantity}, "order.pair": "BTC/USD", "order.side": "BUY"}}'
        start = self.now_ns
        status = "ERROR" if failed else "UNSET"
        self._span(trace_id, 1, None, "kx-wallet", "order.submit.client", "INTERNAL", start, whole, amount)
        self._span(trace_id, 2, 1, "kx-exchange", "POST /api/v1/orders", "SERVER", start + MS, api, amount)
        self._span(
            trace_id, 3, 2, "kx-exchange", "SELECT wallets", "CLIENT", start + 2 * MS, db, "{}", status
        )
        self.now_ns += 20 * MS  # 50 orders/s
        return trace_id

    def _span(  # noqa: PLR0917  # the columns of a span, in their order
        self,
        trace_id: str,
        number: int,
        parent: int | None,
        service: str,
        name: str,
        kind: str,
        start: int,
        duration: int,
        attributes: str,
        status: str = "UNSET",
    ) -> None:
        self.rows.append(
            {
                "trace_id": trace_id,
                "span_id": f"{int(trace_id, 16) * 16 + number:016x}",
                "parent_span_id": None if parent is None else f"{int(trace_id, 16) * 16 + parent:016x}",
                "service_name": service,
                "span_name": name,
                "span_kind": kind,
                "start_unix_nano": start,
                "duration_ns": duration,
                "status_code": status,
                "attributes": attributes,
            }
        )

    def land(self, rows: list[dict[str, object]] | None = None) -> int:
        """Insert pending spans (or these) as the next batch; returns its id."""
        landed = self.rows if rows is None else rows
        if rows is None:
            self.rows = []
        self.batch_id += 1
        of_all = {"batch_id": self.batch_id, "resource": f'{{"service.version": "{self.version}"}}'}
        table = pa.Table.from_pylist([{**row, **of_all} for row in landed])
        position = table.schema.get_field_index("parent_span_id")
        table = table.set_column(position, "parent_span_id", table["parent_span_id"].cast(pa.string()))
        with self.store.transaction() as con:
            con.register("landed", table)
            con.execute(_INSERT)
            con.unregister("landed")
        self.store.announce_landed(self.batch_id)
        return self.batch_id


SETTINGS = Settings(detect_learn_delay_s=5.0)


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


@dataclass(frozen=True)
class Learned:
    """The folder of a server that was stopped, when that was, and whose spans it has."""

    folder: Path
    clock: Clock
    system: System


@pytest.fixture(scope="module")
def learned() -> Learned | None:
    """The state that each test of a module starts from, as a copy; empty unless the module overrides it."""
    return None


@pytest.fixture
def clock(learned: Learned | None) -> Clock:
    return replace(learned.clock) if learned else Clock()


@pytest.fixture
def store(tmp_path: Path, learned: Learned | None) -> Iterator[Store]:
    opened = Store.open(shutil.copytree(learned.folder, tmp_path / "learned") if learned else tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def system(store: Store, learned: Learned | None) -> System:
    if learned is None:
        return System(store)
    return replace(learned.system, store=store, rng=copy.deepcopy(learned.system.rng), rows=[])


@pytest.fixture
def pipeline(store: Store, settings: Settings, clock: Clock) -> Pipeline:
    """Not started: tests call its passes themselves, with a clock of their own."""
    return Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)


@pytest.fixture
def trained(system: System, pipeline: Pipeline, clock: Clock) -> Pipeline:
    """A pipeline that has judged and learned 600 normal orders."""
    for _ in range(6):
        for _ in range(100):
            system.order()
        pipeline.judge_landed(system.land())
        clock.now_s += 2
    clock.now_s += 10
    pipeline.learn_settled()
    return pipeline
