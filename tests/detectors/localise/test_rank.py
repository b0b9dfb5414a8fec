from __future__ import annotations

import random

import pyarrow as pa
import pytest

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.localise import SOURCES, Usual, localise, localise_amount
from detectors.model.anomaly import AMOUNT, Anomaly
from detectors.settings import Settings
from tests.pace import within_cpu_s

MS = 1_000_000


def test_slow_database_call_is_charged_to_the_service_that_made_it(shop, causes):
    """A database client span without a server span below is the caller's self time."""
    for _ in range(5):
        shop.trace(db_ms=150)
    first = causes()[0]
    assert (first["rank"], first["service"], first["operation"]) == (1, "stock", "SELECT stock")
    assert first["kind"] == "self_time"
    assert first["share"] > 0.9
    evidence = first["evidence"][0]
    assert (evidence["observed"], evidence["unit"]) == (150 * MS, "ns")
    assert evidence["expected"] == pytest.approx(1 * MS, rel=0.01)
    assert evidence["text"] == "SELECT stock took 150 ms of its own, usually 997 µs"
    assert evidence["span_id"].startswith("d")


def test_the_clock_of_a_host_changes_nothing(shop, causes):
    """The slow service's clock is three seconds ahead: it is named as surely, and with the same share."""
    for _ in range(5):
        shop.trace(api_ms=150)
    (on_time,) = causes(causes_max=1)
    for row in shop.spans:
        row["start_unix_nano"] += 3_000 * MS * (row["service_name"] == "stock")
    (ahead,) = causes(causes_max=1)
    for name in ("service", "operation", "kind", "share", "score"):
        assert ahead[name] == on_time[name]
    assert ahead["service"] == "stock"


def test_time_on_the_way_there_is_charged_to_the_sender(shop, causes):
    """A call that arrives late and is answered at once was held by the span that sent it."""
    for _ in range(5):
        shop.trace(gap_ms=80)
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("shop", "call", "edge_time")


def test_time_on_the_way_to_a_service_and_back_is_charged_to_the_service(shop, causes):
    """The time between client and server span is an edge, shown at the span that waited."""
    for _ in range(5):
        shop.trace(gap_ms=40, back_ms=40)
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "api", "edge_time")
    assert first["evidence"][0]["span_id"].startswith("b")
    assert first["evidence"][0]["text"].startswith("call spent 80 ms on the way to stock and back, usually")


def test_usual_time_is_no_cause(shop, causes):
    """Traces like those that were learned accuse nobody."""
    for _ in range(20):
        shop.trace(api_ms=3)
    assert causes() == []


def test_most_slowed_not_slowest(shop, causes):
    """A service that was slow before is not blamed for the delay that another one adds."""
    for _ in range(5):
        shop.trace(api_ms=4, db_ms=60)
    assert causes()[0]["operation"] == "SELECT stock"


def test_deepest_error_counts(shop, causes):
    """Where traces fail that usually do not, the deepest failing span is named with its message."""
    for _ in range(6):
        shop.trace(error="deadlock")
    first = causes()[0]
    assert (first["service"], first["operation"]) == ("stock", "SELECT stock")
    assert "SELECT stock failed: deadlock" in [e["text"] for e in first["evidence"]]


def test_errors_count_without_usual_traces(shop):
    """With nothing to compare with, failures still count when most traces have them."""
    for number in range(6):
        shop.trace(error="deadlock" if number % 3 else "")
    first = localise(shop.span_table(), Usual(), shop.log_table(), sources=["errors"])[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "SELECT stock", "error")


def test_call_that_is_no_longer_made(shop, causes):
    """An operation that no longer makes its usual call is named, with how often it did."""
    for _ in range(10):
        shop.trace(priced=False)
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "api", "structure")
    texts = [e["text"] for e in first["evidence"]]
    assert "api did not call ask in stock, as in 100% of its spans, usually in 0%" in texts


def test_new_error_in_the_log(shop, causes):
    """An error message that is new is evidence against the operation that wrote it."""
    for _ in range(6):
        shop.trace(said="12:00:01 ERROR no stock for item 17")
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "api", "log")
    assert any(
        "logged '* ERROR no stock for item *'" in e["text"].replace("* * *", "*") for e in first["evidence"]
    )


def test_ranks_are_one_for_each_service(shop, causes):
    """No service takes two ranks, and ranks count from 1."""
    for _ in range(5):
        shop.trace(api_ms=40, db_ms=150, error="late")
    found = causes()
    services = [cause["service"] for cause in found]
    assert len(set(services)) == len(services)
    assert [cause["rank"] for cause in found] == list(range(1, len(found) + 1))


def test_source_that_is_off_says_nothing(shop, causes):
    """Without its source, evidence of that kind is gone from the ranking."""
    for _ in range(6):
        shop.trace(said="12:00:01 ERROR no stock for item 17")
    assert causes(sources=[name for name in SOURCES if name != "logs"]) == []


def test_order_of_spans_changes_nothing(shop, causes, usual):
    """The ranking and its figures do not depend on the order in which spans arrive."""
    for _ in range(6):
        shop.trace(api_ms=30, db_ms=50, error="late")
    before = causes()
    random.Random(3).shuffle(shop.spans)
    after = causes()
    assert [(c["service"], c["operation"], c["score"]) for c in after] == [
        (c["service"], c["operation"], c["score"]) for c in before
    ]


def test_evidence_names_spans_of_the_incident(shop, causes):
    """Every item of evidence lies in a trace of the incident, never in a usual one."""
    ids = {shop.trace(db_ms=90, error="late", priced=False, said="ERROR lost") for _ in range(8)}
    items = [item for cause in causes() for item in cause["evidence"]]
    assert {item["kind"] for item in items} >= {"self_time", "error"}
    assert {item["trace_id"] for item in items} <= ids


def test_nothing_to_localise(usual):
    """No spans, no causes."""
    empty = usual.spans.slice(0, 0)
    assert localise(empty, usual) == []


def test_broken_traces_do_no_harm(shop, usual):
    """Cycles, orphans, duplicates and negative durations are ranked without an error."""
    for _ in range(4):
        shop.trace(db_ms=90)
    for number, span in enumerate(shop.spans):
        if number % 5 == 0:
            span["parent_span_id"] = span["span_id"]
        if number % 5 == 1:
            span["parent_span_id"] = "gone"
        if number % 5 == 2:
            span["duration_ns"] = -5
    first, second = shop.spans[:2]
    first["parent_span_id"], second["parent_span_id"] = second["span_id"], first["span_id"]
    spans = pa.concat_tables([shop.span_table(), shop.span_table().slice(0, 3)])
    assert isinstance(localise(spans, usual, shop.log_table()), list)


def test_whale_is_localised_where_it_entered():
    """Amounts are shared out by operation, with the worst as evidence."""

    def whale(number: int, operation: str) -> Anomaly:
        return Anomaly(
            f"w{number}", AMOUNT, 3, 5.0 + number, f"t{number}", f"s{number}", "wallet", operation, "CLIENT",
            0, 1, 85.0, 0.1, "BTC", "order|BTC", 100, {"attribute": "order.quantity"},
        )  # fmt: skip

    found = localise_amount([whale(1, "submit"), whale(2, "submit"), whale(3, "transfer")])
    assert [(c["service"], c["operation"], c["kind"], c["share"]) for c in found] == [
        ("wallet", "submit", "amount", 1.0)
    ]
    assert found[0]["evidence"][0]["text"] == "order.quantity was 85 BTC, usually 0.1 BTC"


def test_names_mean_nothing(shop, usual, causes):
    """With other names for services and operations the same places are named, with the same scores."""
    for _ in range(6):
        shop.trace(db_ms=60, error="late", said="ERROR late")
    before = [(c["service"], c["operation"], c["score"]) for c in causes()]
    renamed = Usual(
        lambda service, operation, kind: usual.self_time(unmasked(service), unmasked(operation), kind),
        lambda service, operation, kind, callee: usual.edge(
            unmasked(service), unmasked(operation), kind, unmasked(callee)
        ),
        masked(usual.spans, ["service_name", "operation"]),
        masked(usual.logs, ["service_name"]),
    )
    spans = masked(shop.span_table(), ["service_name", "operation"])
    found = localise(spans, renamed, masked(shop.log_table(), ["service_name"]))
    assert [(unmasked(c["service"]), unmasked(c["operation"]), c["score"]) for c in found] == before


def masked(table: pa.Table, columns: list[str]) -> pa.Table:
    for name in columns:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array([value[::-1] for value in table[name].to_pylist()]))
    return table


def unmasked(name: str) -> str:
    return name[::-1]


def test_system_of_many_operations():
    """Ten thousand operations, all of them behaving in a new way, are ranked in seconds."""
    usual, now = (many_operations(10_000, called=called) for called in (True, False))
    with within_cpu_s(10):
        found = localise(now, Usual(spans=usual))
    assert len(found) <= 5


def many_operations(count: int, *, called: bool) -> pa.Table:
    """For each operation ten traces of two spans, the second being `a` or `b`."""
    size = 2 * count * 10
    number = [i // 20 for i in range(size)]
    trace = [f"{called}{i // 2}" for i in range(size)]
    child = [i % 2 == 1 for i in range(size)]
    return pa.table(
        {
            "trace_id": trace,
            "span_id": [f"{i}" for i in range(size)],
            "parent_span_id": pa.array([f"{i - 1}" if child[i] else None for i in range(size)], pa.string()),
            "service_name": [f"service {n % 50}" for n in number],
            "operation": [
                f"{'a' if called else 'b'}{n}" if below else f"op{n}"
                for n, below in zip(number, child, strict=True)
            ],
            "span_kind": ["INTERNAL"] * size,
            "start_unix_nano": list(range(size)),
            "duration_ns": [1000] * size,
            "status_code": ["UNSET"] * size,
            "status_message": [""] * size,
        }
    )


def test_one_held_call_is_its_senders(shop, causes):
    """One trace is enough to tell that a call left late: the size of a change needs no number of traces."""
    shop.trace(gap_ms=200)
    first = causes()[0]
    assert (first["service"], first["operation"]) == ("shop", "call")


def test_slowness_that_the_past_knows_is_named_with_low_confidence(shop, usual):
    """A quarter of the usual traces had the same slow statement: it is where the time went."""
    before = type(shop)()
    for number in range(60):
        before.trace(db_ms=200 if number % 3 == 0 else 1)
    spans = before.span_table()
    for name in ("is_new", "flagged", "in_incident"):
        spans = spans.append_column(name, pa.array([name == "is_new"] * spans.num_rows))
    baselines = Baselines(Settings())
    baselines.add(learn_times(spans))
    shop.trace(db_ms=200)
    (cause,) = localise(shop.span_table(), Usual(baselines.self_times, baselines.edge, spans))
    assert (cause["rank"], cause["service"], cause["operation"]) == (1, "stock", "SELECT stock")
    assert cause["confidence"] == "low"
    assert cause["evidence"][0]["observed"] == 200 * 1e6


def test_ordinary_traces_name_nobody(shop, causes):
    """A trace that took less than a millisecond more than usual has no holder of the time."""
    for _ in range(5):
        shop.trace()
    assert causes() == []
