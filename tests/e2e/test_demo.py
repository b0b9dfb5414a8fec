"""One run of the demo, judged by what it left behind."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.e2e.support import DemoRun, processes_naming
from tests.pace import patience_s

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(patience_s(240))]

REPORT_KEYS = {
    "orders", "spans", "traces", "anomalies", "whales", "incidents", "explanations", "faults", "data_dir",
}  # fmt: skip

# (service, span, kind, service and span of the parent), as the exchange documents its order trace.
ORDER_TRACE = Counter(
    [
        ("kx-wallet", "order.submit.client", "INTERNAL", None, None),
        ("kx-wallet", "POST", "CLIENT", "kx-wallet", "order.submit.client"),
        ("api-gateway", "kong", "SERVER", "kx-wallet", "POST"),
        ("api-gateway", "kong.router", "INTERNAL", "api-gateway", "kong"),
        ("api-gateway", "kong.balancer", "CLIENT", "api-gateway", "kong"),
        ("kx-exchange", "POST /api/v1/orders", "SERVER", "api-gateway", "kong.balancer"),
        ("kx-exchange", "SELECT wallets", "CLIENT", "kx-exchange", "POST /api/v1/orders"),
        ("kx-exchange", "INSERT orders", "CLIENT", "kx-exchange", "POST /api/v1/orders"),
        ("kx-exchange", "publish orders", "INTERNAL", "kx-exchange", "POST /api/v1/orders"),
        ("kx-exchange", "publish <default>", "PRODUCER", "kx-exchange", "publish orders"),
        ("kx-matcher", "order.match", "CONSUMER", "kx-exchange", "publish <default>"),
        ("kx-matcher", "orderbook.execute", "INTERNAL", "kx-matcher", "order.match"),
        ("kx-matcher", "journal.append", "INTERNAL", "kx-matcher", "order.match"),
        ("kx-matcher", "order.response", "PRODUCER", "kx-matcher", "order.match"),
        ("kx-exchange", "payment_response process", "CONSUMER", "kx-exchange", "POST /api/v1/orders"),
        ("kx-exchange", "UPDATE wallets", "CLIENT", "kx-exchange", "POST /api/v1/orders"),
        ("kx-wallet", "order.response.received", "INTERNAL", "kx-wallet", "order.submit.client"),
    ]
)

TREE = """
    SELECT child.trace_id, child.service_name, child.span_name, child.span_kind,
        parent.service_name, parent.span_name
    FROM spans AS child
    LEFT JOIN spans AS parent ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
"""


def test_demo_reports_success_with_the_documented_keys(demo_run: DemoRun) -> None:
    """The demo exits with 0 and prints exactly the documented keys."""
    assert demo_run.exit_code == 0, demo_run.messages
    assert set(demo_run.report) == REPORT_KEYS
    assert demo_run.report["orders"] > 45 * 50 * 0.8


def test_every_accepted_order_is_one_trace_of_17_spans(demo_run: DemoRun) -> None:
    """Each order that the gateway accepted is one trace of the 17 documented spans, kinds and parents."""
    trees: dict[str, Counter[tuple[str | None, ...]]] = {}
    for trace_id, *span in demo_run.rows(TREE):
        trees.setdefault(trace_id, Counter())[tuple(span)] += 1
    accepted = [order["trace_id"] for order in demo_run.lines("exchange/accepted.jsonl")]

    assert len(accepted) == len(set(accepted)) == demo_run.report["orders"]
    wrong = {trace_id: trees.get(trace_id) for trace_id in accepted if trees.get(trace_id) != ORDER_TRACE}
    assert not wrong, f"{len(wrong)} of {len(accepted)} traces differ, e.g. {next(iter(wrong.items()))}"


def test_accepted_orders_equal_landed_order_traces(demo_run: DemoRun) -> None:
    """The traces whose order the matcher executed are the accepted orders: none lost, none made up."""
    executed = {
        row[0] for row in demo_run.rows("SELECT trace_id FROM spans WHERE span_name = 'order.response'")
    }

    assert executed == {order["trace_id"] for order in demo_run.lines("exchange/accepted.jsonl")}


def test_report_counts_equal_the_stored_rows(demo_run: DemoRun) -> None:
    """Each total of the report is the number of rows that an analyst counts."""
    stored = demo_run.rows("""
        SELECT (SELECT count(*) FROM spans), (SELECT count(DISTINCT trace_id) FROM spans),
            (SELECT count(*) FROM anomalies), (SELECT count(*) FROM anomalies WHERE detector = 'amount'),
            (SELECT count(*) FROM incidents), (SELECT count(*) FROM explanations)
    """)[0]
    report = demo_run.report
    totals = ("spans", "traces", "anomalies", "whales", "incidents", "explanations")

    assert tuple(report[name] for name in totals) == stored


def test_slow_database_and_whale_are_found_where_they_are(demo_run: DemoRun) -> None:
    """Each injected fault is detected within 5 s of its first order, and its root service is named first."""
    faults = demo_run.report["faults"]
    labels = demo_run.lines("labels.jsonl")

    assert [fault["kind"] for fault in faults] == [label["kind"] for label in labels]
    assert {fault["kind"] for fault in faults} == {"db_slow", "whale_order"}
    assert all(label["impact_verified"] for label in labels), labels
    for fault in faults:
        assert fault["detected"], fault
        assert fault["localised"], fault
        assert fault["detection_delay_s"] <= 5.0, fault


def test_anomalies_refer_to_stored_spans(demo_run: DemoRun) -> None:
    """No anomaly names a span that is not in the database."""
    dangling = demo_run.rows("""
        SELECT anomaly_id FROM anomalies ANTI JOIN spans USING (trace_id, span_id)
    """)

    assert dangling == []


def test_cited_spans_exist_in_the_explained_trace(demo_run: DemoRun) -> None:
    """Every piece of evidence of every explanation cites a span that is stored in the trace it names."""
    spans = set(demo_run.rows("SELECT trace_id, span_id FROM spans"))
    explained = demo_run.rows("SELECT subject_id, evidence::VARCHAR, root_causes::VARCHAR FROM explanations")

    assert explained
    for subject_id, evidence_text, causes_text in explained:
        evidence = json.loads(evidence_text)
        assert evidence, subject_id
        assert {(item["trace_id"], item["span_id"]) for item in evidence} <= spans
        known = {item["evidence_id"] for item in evidence}
        for cause in json.loads(causes_text):
            assert set(cause["evidence"]) <= known


def test_no_span_carries_a_word_of_the_fault(demo_run: DemoRun) -> None:
    """Neither a name nor an attribute of any span tells that a fault was injected."""
    leaks = demo_run.rows(r"""
        SELECT DISTINCT span_name, attributes::VARCHAR FROM spans
        WHERE regexp_matches(
            lower(concat(span_name, attributes::VARCHAR, resource_attributes::VARCHAR, status_message)),
            '\bfault|chaos|inject|db_slow|whale')
    """)

    assert leaks == []


def test_export_loads_as_training_rows(demo_run: DemoRun) -> None:
    """The exported JSONL holds chat messages that end with the assistant, as many as its manifest says."""
    folder = demo_run.folder / "export"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]

    assert len(rows) == manifest["rows"] >= 2
    for row in rows:
        assert set(row) == {"messages"}
        assert row["messages"][-1]["role"] == "assistant"
        assert all(message["content"].strip() for message in row["messages"])


def test_nothing_is_left_running(demo_run: DemoRun) -> None:
    """After the demo no process of it exists."""
    assert processes_naming(str(demo_run.folder)) == []
