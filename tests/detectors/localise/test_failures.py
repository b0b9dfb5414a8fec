"""Who failed first: across status conventions, new exceptions, and services that are no longer there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.traces import decode_traces
from collector.store.sqlfile import load_sql
from detectors.localise import Usual, localise

MS = 1_000_000
Row = tuple[str, str | None, str, str, str]  # span, parent, service, operation, kind


@dataclass
class World:
    """front → GET → stock and front → GET → price: one name for calls of two services."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    attributes: list[dict[str, str]] = field(default_factory=list)
    count: int = 0

    def trace(
        self,
        *,
        failed: Iterable[str] = (),
        silent: Iterable[str] = (),
        status: dict[str, str] | None = None,
        raised: dict[str, str] | None = None,
        addresses: bool = True,
        also: str = "",
    ) -> None:
        """One trace: `failed` spans have status ERROR, `silent` ones were never sent; `also` calls stock."""
        self.count += 1
        trace_id = f"t{id(self)}-{self.count}"
        tree: list[Row] = [
            ("page", None, "front", "GET /page", "SERVER"),
            ("ask stock", "page", "front", "GET", "CLIENT"),
            ("stock", "ask stock", "stock", "GET /stock", "SERVER"),
            ("ask price", "page", "front", "GET", "CLIENT"),
            ("price", "ask price", "price", "GET /price", "SERVER"),
        ]
        if also:
            tree.append(("also ask stock", "page", also, "GET", "CLIENT"))
            tree.append(("answer", "also ask stock", "stock", "GET /stock", "SERVER"))
        for number, (span, parent, service, operation, kind) in enumerate(tree):
            if span in silent:
                continue
            self.rows.append(
                {
                    "trace_id": trace_id,
                    "span_id": f"{span}{trace_id}",
                    "parent_span_id": parent and f"{parent}{trace_id}",
                    "service_name": service,
                    "operation": operation,
                    "span_kind": kind,
                    "start_unix_nano": self.count * 100 * MS + number * MS,
                    "duration_ns": (10 - number) * MS,
                    "status_code": "ERROR" if span in failed else "UNSET",
                    "status_message": "",
                }
            )
            if kind == "CLIENT" and addresses:
                self._carry(trace_id, span, "server.address", span.split()[-1])
                self._carry(trace_id, span, "server.port", "80")
            if span in (status or {}):
                self._carry(trace_id, span, "http.response.status_code", (status or {})[span])
            if span in (raised or {}):
                kind_of, _, message = (raised or {})[span].partition(": ")
                self._carry(trace_id, span, "exception.type", kind_of)
                self._carry(trace_id, span, "exception.message", message)

    def _carry(self, trace_id: str, span: str, key: str, value: str) -> None:
        row = {"trace_id": trace_id, "span_id": f"{span}{trace_id}", "key": key, "value": value}
        self.attributes.append(row)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        texts = [(name, pa.string()) for name in ("trace_id", "span_id", "key", "value")]
        return pa.Table.from_pylist(self.rows), pa.Table.from_pylist(self.attributes, schema=pa.schema(texts))


@pytest.fixture
def usual() -> Usual:
    """A hundred ordinary traces."""
    before = World()
    for _ in range(100):
        before.trace()
    spans, attributes = before.tables()
    return Usual(spans=spans, attributes=attributes)


def causes(world: World, usual: Usual) -> list[dict[str, Any]]:
    spans, attributes = world.tables()
    return localise(spans, usual, attributes=attributes)


def test_a_404_is_its_servers(usual):
    """The client span has status ERROR, the server span none: who said 404 is named."""
    world = World()
    for _ in range(10):
        world.trace(failed=["ask stock"], status={"ask stock": "404", "stock": "404"})
    first = causes(world, usual)[0]
    assert (first["service"], first["operation"]) == ("stock", "GET /stock")


def test_a_call_that_its_caller_gave_up_stays_the_callers(usual):
    """The server answered 200: nothing says that it failed."""
    world = World()
    for _ in range(10):
        world.trace(failed=["ask stock"], status={"stock": "200"})
    assert causes(world, usual)[0]["service"] == "front"


@pytest.mark.parametrize("count", [1, 10])
def test_an_exception_that_was_never_raised_is_evidence(usual, count):
    """One exception is enough against a hundred spans that never raised it; type and message are named."""
    world = World()
    for _ in range(count):
        world.trace(failed=["price"], raised={"price": "RuntimeError: card vault: permission denied"})
    for _ in range(10 - count):
        world.trace()
    first = causes(world, usual)[0]
    assert (first["service"], first["operation"]) == ("price", "GET /price")
    text = next(item["text"] for item in first["evidence"] if item["kind"] == "error")
    assert text.startswith("GET /price raised RuntimeError: card vault: permission denied")
    assert text.endswith("which it never did before")


def test_a_dead_service_is_named_although_it_has_no_spans(usual):
    """All calls to its address fail without an answer; the evidence are the refused connections."""
    world = World()
    for _ in range(10):
        world.trace(failed=["ask stock", "page"], silent=["stock"])
    first = causes(world, usual)[0]
    assert (first["service"], first["operation"]) == ("stock", "GET /stock")
    assert first["evidence"][0]["text"].startswith("stock does not answer at stock:80: 100% of the calls")


def partly_lost(lost: int, answered: int, *, beside: Iterable[str] = ()) -> World:
    """Some calls to stock fail without an answer, and those `beside` them too."""
    world = World()
    for number in range(lost + answered):
        missed = ["stock", *beside] if number < lost else []
        world.trace(failed=[f"ask {service}" for service in missed], silent=missed)
    return world


def test_a_service_that_few_calls_miss_may_not_be_at_fault(usual):
    """Three of ten calls fail at their caller, which called others ten times: both are named, it first."""
    named = [cause["service"] for cause in causes(partly_lost(3, 7), usual)]
    assert named[0] == "front"
    assert "stock" in named


def test_a_service_that_answers_in_part_is_named(usual):
    """Ten of thirty calls are lost, and none of thirty to another service: its caller is not at fault."""
    first, *others = causes(partly_lost(10, 20), usual)
    failing = [cause["service"] for cause in others if cause["kind"] == "error"]
    assert (first["service"], first["operation"]) == ("stock", "GET /stock")
    assert first["evidence"][0]["text"].startswith("stock does not answer at stock:80: 33% of the calls")
    assert not failing


def test_a_caller_that_reaches_nobody_is_named(usual):
    """Ten of thirty calls are lost to each of two services: their caller has the fault in common."""
    assert causes(partly_lost(10, 20, beside=["price"]), usual)[0]["service"] == "front"


def test_a_caller_that_alone_does_not_reach_a_service_is_named(usual):
    """Another caller's twenty calls to the same address are answered."""
    world = World()
    for _ in range(20):
        world.trace(failed=["ask stock"], silent=["stock"], also="basket")
    assert causes(world, usual)[0]["service"] == "front"


def test_calls_that_were_never_answered_stay_the_callers():
    """A database sends no spans: nobody can tell it from its caller, which is named."""
    before, world = World(), World()
    for _ in range(100):
        before.trace(silent=["stock"])
    for _ in range(10):
        world.trace(silent=["stock"], failed=["ask stock"])
    spans, attributes = before.tables()
    assert causes(world, Usual(spans=spans, attributes=attributes))[0]["service"] == "front"


def test_without_addresses_one_name_for_two_services_accuses_neither(usual):
    """GET of stock and GET of price look alike: only the caller is sure."""
    before, world = World(), World()
    for _ in range(100):
        before.trace(addresses=False)
    for _ in range(10):
        world.trace(failed=["ask stock"], silent=["stock"], addresses=False)
    found = causes(world, Usual(spans=before.tables()[0]))
    assert found[0]["service"] == "front"


def test_exceptions_are_read_from_events(store):
    """An exception event counts as attributes of its span; of several exceptions the last."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x02", name="charge",
        start_time_unix_nano=1_790_000_000 * 10**9, end_time_unix_nano=1_790_000_000 * 10**9 + 5,
    )  # fmt: skip
    for kind in ("KeyError", "RuntimeError"):
        event = span.events.add(name="exception", time_unix_nano=1_790_000_000 * 10**9)
        event.attributes.add(key="exception.type").value.string_value = kind
        event.attributes.add(key="exception.message").value.string_value = f"{kind} said"
    rows = decode_traces([request.SerializeToString()])
    with store.transaction() as con:
        con.register("rows", rows)
        con.execute("INSERT INTO spans_recent BY NAME SELECT 1 AS batch_id, * FROM rows")
        con.unregister("rows")
    found = store.read(
        load_sql("detectors.incidents.queries", "incident_attributes"),
        {"trace_ids": rows["trace_id"].to_pylist(), "earliest": 0, "latest": 2**62},
    ).to_pylist()
    carried = {row["key"]: row["value"] for row in found}
    assert carried["exception.type"] == "RuntimeError"
    assert carried["exception.message"] == "RuntimeError said"
