"""Each kind of cause has its own advice, and two faults in one incident are both named."""

# ruff: noqa: E501 - rows of tables
from __future__ import annotations

from typing import Any

import pytest

from llm.analysis.event_facts import account_digest
from llm.deterministic import recommendations
from llm.explanation import Cause, Evidence, Explanation, Subject
from tests.llm.support import MS, SLOW_TRACE, WHALE_TRACE

ADVICE = {
    "market": "price feed", "self_trade": "market surveillance", "repeated_calls": "N+1", "retries": "backoff",
    "saturation": "at its limit", "pool": "connections", "message_wait": "backlog", "resource": "heap profiles",
    "error": "deepest span that failed", "database": "lock waits", "amount": "account behind it",
    "failed_call": "is up, reachable", "unanswered": "runs and can be reached", "call_structure": "early return before the call",
}  # fmt: skip


@pytest.mark.parametrize("kind", ADVICE)
def test_advice_by_kind(kind: str) -> None:
    """Advice for a kind of cause speaks of that kind, and never of a CPU where nothing was slow."""
    cause = Cause.model_validate(
        {"service": "shop", "operation": "work", "kind": kind, "statement": "s", "score": 1, "confidence": 1,
         "evidence": ()}
    )  # fmt: skip
    evidence = Evidence(
        subject=Subject(kind="trace", id=SLOW_TRACE), group_id="g", subject_size=1, trace_id=SLOW_TRACE,
        headline="", facts=(), causes=(cause,),
    )  # fmt: skip
    lines = recommendations(evidence, cause)
    assert ADVICE[kind] in " ".join(lines)
    if kind in ("market", "self_trade", "amount"):
        assert "CPU" not in " ".join(lines)


def explain_one(shop: Any, explainer: Any, ranked: dict[str, Any], **anomaly: Any) -> Explanation:
    """An incident with one anomaly and one ranked cause."""
    span_id = shop.span(SLOW_TRACE, "shop", "work", ms=5, attributes={"user.id": "u-7"})
    shop.anomaly("an", SLOW_TRACE, span_id, "shop", "work", incident_id="in", **anomaly)
    shop.incident("in", SLOW_TRACE, [ranked], kind=anomaly["detector"])
    return explainer.analyse(Subject(kind="incident", id="in"))  # type: ignore[no-any-return]  # fixtures


def test_a_call_that_is_missing_is_no_slowness(shop: Any, explainer: Any) -> None:
    """Where an operation no longer makes a call, advice looks for the reason, and for no CPU."""
    missing = "work did not call GET in shop, as in 100% of its spans, usually in 0%"
    item = {"kind": "structure", "trace_id": SLOW_TRACE, "span_id": f"{1:016x}", "text": missing}
    ranked = {"service": "shop", "operation": "work", "share": 0.9, "kind": "structure", "evidence": [item]}
    told = explain_one(
        shop, explainer, ranked, detector="structure", observed=1, expected=0, unit="", details={}
    )
    assert told.summary.startswith(f'work in shop: "{missing}"')
    assert "early return before the call" in told.recommendations[0]
    assert "CPU" not in " ".join(told.recommendations)
    assert "work in shop had 1, usually 0" in told.evidence[0].statement


@pytest.mark.parametrize("kind", ["value", "market", "amount"])
def test_a_figure_says_of_what_it_is(shop: Any, explainer: Any, kind: str) -> None:
    """A figure that is no time is told in the words that name it, not as "had 5,012 units"."""
    text = "work carried price.age_ms = 5012, usually within 2.1 and 20.5"
    item = {"kind": kind, "trace_id": SLOW_TRACE, "span_id": f"{1:016x}", "text": text, "observed": 5012.0,
            "expected": 6.57, "unit": None}  # fmt: skip
    ranked = {"service": "shop", "operation": "work", "share": 0.9, "kind": kind, "score": 3.0}
    told = explain_one(
        shop, explainer, {**ranked, "evidence": [item]}, detector="error", observed=1, expected=0, unit="",
        details={},
    )  # fmt: skip
    assert told.summary.startswith(f'work in shop: "{text}" [')


def test_a_call_that_nobody_answers(shop: Any, explainer: Any) -> None:
    """A failed call without a span of its callee sends people to the callee; one that answered does not."""
    for number, answered in enumerate((False, True)):
        trace_id = f"{number + 1:032x}"
        root = shop.span(trace_id, "web", "GET /checkout", "SERVER", ms=9, status="ERROR")
        call = shop.span(trace_id, "web", "GET", "CLIENT", parent=root, ms=5, status="ERROR")
        if answered:
            shop.span(trace_id, "cart", "GET /cart", "SERVER", parent=call, ms=4)
        told = explainer.analyse(Subject(kind="trace", id=trace_id))
        assert told.root_causes[0].statement == "GET in web failed"
        assert ("is up, reachable" in told.recommendations[0]) is not answered


@pytest.mark.parametrize(
    ("rule", "words"), [("self-trade", "market surveillance"), ("round trip", "market surveillance"), ("price", "price feed")]
)  # fmt: skip
def test_a_wash_trade_blames_no_service(shop: Any, explainer: Any, rule: str, words: str) -> None:
    """Events of the market are explained as such, with advice for the market."""
    explanation = explain_one(
        shop, explainer, {"service": "shop", "operation": "work", "share": 1.0, "kind": "market", "evidence": []},
        detector="market", observed=0.4, expected=0.00000545, unit="share",
        details={"text": "account a traded with itself, 9 times", "rule": rule},
    )  # fmt: skip
    assert explanation.summary.startswith("What was traded is the anomaly, not the system")
    assert words in " ".join(explanation.recommendations)
    assert "CPU" not in " ".join(explanation.recommendations)


@pytest.mark.parametrize(
    ("metric", "words"),
    [("db.client.connections.usage", "size of the pool"), ("process.cpu.utilization", "at its limit"),
     ("process.memory.usage", "heap profiles")],
)  # fmt: skip
def test_a_metric_says_what_is_short(shop: Any, explainer: Any, metric: str, words: str) -> None:
    """A pool, a saturated machine and a leak have different advice."""
    text = f"{metric} went from 10 to 98"
    item = {"kind": "metric", "trace_id": SLOW_TRACE, "span_id": "0000000000000001", "text": text, "observed": 98,
            "expected": 10, "unit": "1"}  # fmt: skip
    explanation = explain_one(
        shop, explainer,
        {"service": "shop", "operation": metric, "share": 1.0, "kind": "metric", "evidence": [item]},
        detector="metric", observed=98, expected=10, unit="1", details={"text": text},
    )  # fmt: skip
    assert words in " ".join(explanation.recommendations)


def test_many_calls_are_not_a_slow_statement(shop: Any, explainer: Any) -> None:
    """Twenty calls of a statement that are each about as fast as ever are a loop, not a bad plan."""
    shop.baseline("shop", "GET /list", "SERVER", 10, 5)
    shop.baseline("shop", "SELECT lines", "CLIENT", 2, 2)
    root = shop.span(SLOW_TRACE, "shop", "GET /list", "SERVER", ms=70)
    for number in range(20):
        shop.span(SLOW_TRACE, "shop", "SELECT lines", "CLIENT", parent=root, at_ms=3 * number, ms=2.9)
    explanation = explainer.analyse(Subject(kind="trace", id=SLOW_TRACE))
    assert "in 20 calls" in explanation.root_causes[0].statement
    assert "N+1" in explanation.recommendations[0]
    assert "plan" not in " ".join(explanation.recommendations)


def test_a_whale_has_an_account_and_the_titles_value(shop: Any, explainer: Any) -> None:
    """The value is the one of the incident's title, and the account is named by a digest that can be searched."""
    span_id = shop.span(
        WHALE_TRACE, "wallet", "submit", ms=7,
        attributes={"order.pair": "BTC/USD", "order.quantity": 8.0, "order.price": 41_118.0, "user.id": "u-7"},
    )  # fmt: skip
    shop.anomaly(
        "an-w", WHALE_TRACE, span_id, "wallet", "submit", detector="amount", observed=8, expected=0.02, unit="BTC",
        details={"side": "BUY", "value": 335_772.0, "quote": "USD"}, incident_id="in-w",
    )  # fmt: skip
    shop.incident("in-w", WHALE_TRACE, [], kind="amount", title="Whale: BUY 8 BTC (335,772 USD) in wallet")
    explanation = explainer.analyse(Subject(kind="incident", id="in-w"))
    assert "It is worth 335,772 USD" in explanation.summary
    assert "328,944" not in explanation.summary
    assert any(account_digest("u-7") in fact.statement for fact in explanation.evidence)
    assert "u-7" not in explanation.model_dump_json()
    found = shop.store.read(
        "SELECT span_id FROM spans WHERE sha256(attributes.\"user.id\"::VARCHAR)[:12] = $digest",
        {"digest": account_digest("u-7")},
    )  # fmt: skip
    assert found.num_rows == 1


def test_a_call_of_a_model_that_takes_too_much(shop: Any, explainer: Any) -> None:
    """Tokens and cost are told with the model's words, and the advice is about calls, not about orders."""
    span_id = shop.span(WHALE_TRACE, "agent", "chat", ms=900, attributes={"gen_ai.request.model": "gpt-4o"})
    details = {"side": "", "kind": "input_tokens", "asset": "gpt-4o"}
    shop.anomaly(
        "an-t", WHALE_TRACE, span_id, "agent", "chat", detector="amount", observed=90_000, expected=500,
        unit="input tokens", details=details,
    )  # fmt: skip
    shop.anomaly(
        "an-c", WHALE_TRACE, span_id, "agent", "chat", detector="amount", observed=4.5, expected=0.01, unit="",
        details={**details, "kind": "cost"},
    )  # fmt: skip
    tokens = explainer.analyse(Subject(kind="anomaly", id="an-t"))
    assert "carried 90,000 input tokens, usually 500 input tokens" in tokens.summary
    cost = explainer.analyse(Subject(kind="anomaly", id="an-c"))
    assert "carried a cost of 4.5, usually 0.01" in cost.summary
    for explanation in (tokens, cost):
        assert "prompt" in explanation.recommendations[0]
        assert "account" not in " ".join(explanation.recommendations)


@pytest.fixture
def two_faults(slow_shop: Any) -> Any:
    """A slow statement in some traces, and failing payments in others, in one incident."""
    ranked = [
        {"service": "checkout", "operation": "SELECT carts", "share": 0.7, "kind": "self_time",
         "evidence": [{"kind": "self_time", "trace_id": SLOW_TRACE, "span_id": "0000000000000003", "text": "t",
                       "observed": 152e6, "expected": 0.9e6, "unit": "ns"}]},
    ]  # fmt: skip
    for number in range(5):
        slow_shop.anomaly(
            f"an-s{number}", f"{number + 1:032x}", "0000000000000003", "checkout", "SELECT carts",
            observed=152 * MS, expected=MS, incident_id="in-two",
        )  # fmt: skip
        trace_id = f"{number + 100:032x}"
        failed = slow_shop.span(trace_id, "bank", "POST /pay", "SERVER", ms=3, status="ERROR")
        slow_shop.anomaly(
            f"an-e{number}", trace_id, failed, "bank", "POST /pay", observed=9 * MS, expected=MS,
            incident_id="in-two",
        )  # fmt: skip
    failing = {"kind": "error", "trace_id": trace_id, "span_id": failed, "text": "failed", "observed": 1.0,
               "expected": 0.0, "unit": "errors"}  # fmt: skip
    ranked.append(
        {"service": "bank", "operation": "POST /pay", "share": 0.02, "kind": "error", "evidence": [failing]}
    )
    slow_shop.incident("in-two", SLOW_TRACE, ranked)
    return slow_shop


def test_two_faults_are_both_named(two_faults: Any, explainer: Any) -> None:
    """Of two faults in different traces each is named with its own window, however small its share."""
    explanation = explainer.analyse(Subject(kind="incident", id="in-two"))
    assert [cause.operation for cause in explanation.root_causes] == ["SELECT carts", "POST /pay"]
    assert "Another fault: POST /pay in bank failed" in explanation.summary
    for place in ("SELECT carts in checkout", "POST /pay in bank"):
        assert f"{place} has 5 anomalies in 5 traces at 2026-10-26 07:33:20 UTC" in explanation.summary


def test_one_fault_is_not_two(two_faults: Any, explainer: Any) -> None:
    """A cause that shares its traces with the first one is no separate fault."""
    two_faults.store.cursor().execute(
        "UPDATE anomalies SET trace_id = lpad(to_hex(('0x' || trace_id[-2:])::INT - 99), 32, '0')"
        " WHERE operation = 'POST /pay'"
    )
    assert "Another fault" not in explainer.analyse(Subject(kind="incident", id="in-two")).summary


def test_a_deploy_is_pointed_out(slow_shop: Any, explainer: Any) -> None:
    """A version that only the incident's traces carry stands in the advice, with its share."""
    slow_shop.store.cursor().execute(
        "INSERT INTO incident_differences VALUES ('in-slow', 1, 'checkout: service.version', '2.4.1', 0.96, 0.0, 9,"
        f" 9.0, 8.0, [], 'checkout', 'SELECT carts', '{SLOW_TRACE}', '0000000000000003')"
    )
    advice = explainer.analyse(Subject(kind="incident", id="in-slow")).recommendations[-1]
    assert '"checkout: service.version = 2.4.1" in 96% of the traces of the incident, usually in 0%' in advice


def test_everything_slower_accuses_no_service(shop: Any, explainer: Any) -> None:
    """Where all operations are slower at once, the explanation says so, names none, and looks at the host."""
    said = "9 of 9 operations in 4 services take 2.9 times their usual own time, and none stands out"
    at = {"trace_id": SLOW_TRACE, "span_id": "0000000000000001"}
    items = [
        {**at, "kind": "everything_slower", "text": said, "observed": 2.9, "expected": 1.0, "unit": "times"},
        {**at, "kind": "host_saturated", "text": "node-1: system.cpu.utilization is 0.98, usually 0.3",
         "observed": 0.98, "expected": 0.3, "unit": "1"},
    ]  # fmt: skip
    ranked = {"service": "shop", "operation": "work", "share": 0.9, "kind": "self_time", "confidence": "low"}
    explanation = explain_one(
        shop, explainer, {**ranked, "evidence": items}, detector="latency", observed=5e6, expected=2e6,
        unit="ns", details={},
    )  # fmt: skip
    assert explanation.root_causes == ()
    assert explanation.summary.startswith(f"{said} [E")
    assert '"node-1: system.cpu.utilization is 0.98, usually 0.3"' in explanation.summary
    assert "what all of them share" in explanation.recommendations[0]


def ranking(*rows: tuple[str, str, str, float, float | None, str]) -> list[dict[str, Any]]:
    """Rows of `root_causes`: service, operation, kind, score, share of the lost time, confidence."""
    at = {"trace_id": SLOW_TRACE, "span_id": f"{1:016x}"}
    return [
        {"service": service, "operation": operation, "kind": kind, "score": score, "share": share,
         "confidence": confidence, "evidence": [{**at, "kind": kind, "text": f"{operation} {kind}",
         "observed": 9e6 if kind == "self_time" else 1.0, "expected": 1e6 if kind == "self_time" else 0.0,
         "unit": "ns" if kind == "self_time" else "errors"}]}
        for service, operation, kind, score, share, confidence in rows
    ]  # fmt: skip


def explain_ranked(shop: Any, explainer: Any, ranked: list[dict[str, Any]]) -> Explanation:
    span_id = shop.span(SLOW_TRACE, "shop", "work", ms=5, status="ERROR")
    shop.span(SLOW_TRACE, "pay", "charge", parent=span_id, ms=2)
    shop.anomaly(
        "an", SLOW_TRACE, span_id, "shop", "work", incident_id="in", detector="error", observed=1, expected=0,
        unit="", details={"text": "9 of 9 calls failed"},
    )  # fmt: skip
    shop.incident("in", SLOW_TRACE, ranked, kind="error")
    return explainer.analyse(Subject(kind="incident", id="in"))  # type: ignore[no-any-return]  # fixtures


def test_a_failure_is_as_sure_as_its_score(shop: Any, explainer: Any) -> None:
    """Failures cost little time: what the detectors rank first is named, however small its share of the time
    is, and what merely took most of the little that was lost is not."""
    rows = ranking(
        ("shop", "work", "error", 9.0, 0.04, "normal"), ("pay", "charge", "self_time", 0.2, 0.96, "normal")
    )
    told = explain_ranked(shop, explainer, rows)
    assert [(cause.service, cause.confidence > 0.8) for cause in told.root_causes] == [("shop", True)]
    assert "Next:" not in told.summary


def test_what_only_stands_last_is_not_named(shop: Any, explainer: Any) -> None:
    """A place that the detectors name because nothing else is left is no second cause."""
    last = ("pay", "charge", "self_time", 0.0, 0.9, "low")
    told = explain_ranked(shop, explainer, ranking(("shop", "work", "error", 9.0, None, "normal"), last))
    assert [cause.service for cause in told.root_causes] == ["shop"]


def test_what_is_named_for_want_of_others_is_a_weak_first(shop: Any, explainer: Any) -> None:
    """As the only one it is named, with little confidence, however much of the time it held."""
    told = explain_one(
        shop, explainer, ranking(("shop", "work", "self_time", 0.0, 0.99, "low"))[0],
        detector="latency", observed=5e6, expected=2e6, unit="ns", details={},
    )  # fmt: skip
    assert [(cause.service, cause.confidence) for cause in told.root_causes] == [("shop", 0.25)]


def test_a_dead_service_is_named_by_its_callers_failures(shop: Any, explainer: Any) -> None:
    """A service without spans of its own is the cause, not the call that failed on it."""
    ranked = ranking(("cart", "GET /cart", "error", 4.0, None, "normal"))
    ranked[0]["evidence"][0] |= {"kind": "unanswered", "observed": 0.97, "unit": "errors/call"}
    told = explain_ranked(shop, explainer, ranked)
    assert (told.root_causes[0].service, told.root_causes[0].operation) == ("cart", "GET /cart")
    assert told.summary.startswith(
        "cart does not answer: 97% of the calls to it failed without an answer, work in shop among them [E"
    )
    assert "Check whether cart runs and can be reached" in told.recommendations[0]


def test_a_dead_service_may_have_a_hostile_name(shop: Any, explainer: Any) -> None:
    """A service whose name reads as a sentence stands in quotation marks: the words are the sender's."""
    ranked = ranking(("the database is healthy and", "GET /cart", "error", 4.0, None, "normal"))
    ranked[0]["evidence"][0] |= {"kind": "unanswered", "observed": 0.97, "unit": "errors/call"}
    told = explain_ranked(shop, explainer, ranked)
    assert told.summary.startswith('"the database is healthy and" does not answer: 97% of the calls to it')


def test_who_holds_up_others_is_named(shop: Any, explainer: Any) -> None:
    """A starved service loses little time of its own: what the detectors rank first is named all the same."""
    rows = ranking(
        ("shop", "work", "self_time", 2.4, 0.02, "normal"), ("pay", "charge", "self_time", 1.9, 0.1, "normal"),
        ("pay", "refund", "edge_time", 1.8, 0.1, "normal"), ("pay", "void", "edge_time", 1.7, 0.1, "normal"),
        ("pay", "list", "edge_time", 1.6, 0.1, "normal"),
    )  # fmt: skip
    told = explain_ranked(shop, explainer, rows)
    assert told.root_causes[0].service == "shop"
    assert told.confidence == 0.7
