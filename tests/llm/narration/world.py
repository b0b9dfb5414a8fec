"""Subjects whose facts code states, for lies and paraphrases to be told about."""

# ruff: noqa: E501 - statements as code writes them
from __future__ import annotations

from llm.deterministic import explain
from llm.explanation import Cause, Draft, Evidence, Fact, Subject

TRACE = "1" * 32


def fact(number: int, service: str, operation: str, kind: str, statement: str, **given: object) -> Fact:
    return Fact.model_validate(
        {"evidence_id": f"E{number}", "trace_id": TRACE, "span_id": f"{number:016x}", "service": service,
         "operation": operation, "kind": kind, "statement": statement, **given}
    )  # fmt: skip


def cause(of: Fact, kind: str, confidence: float) -> Cause:
    return Cause.model_validate(
        {"service": of.service, "operation": of.operation, "kind": kind, "statement": of.statement,
         "score": confidence, "confidence": confidence, "evidence": (of.evidence_id,)}
    )  # fmt: skip


def world(facts: list[Fact], causes: list[Cause]) -> tuple[Evidence, Draft]:
    evidence = Evidence(
        subject=Subject(kind="incident", id="in"), group_id="in", subject_size=1, trace_id=TRACE, headline="",
        facts=tuple(facts), causes=tuple(causes), symptom="E1",
        window=("2026-11-03 12:00:00 UTC", "2026-11-03 12:00:40 UTC"),
    )  # fmt: skip
    return evidence, explain(evidence)


def slow() -> tuple[Evidence, Draft]:
    """A slow statement behind a slow endpoint, 27 anomalies in 9 traces, a small second slowness."""
    facts = [
        fact(1, "checkout", "POST /checkout", "anomaly",
             "POST /checkout in checkout took 176 ms, usually 8 ms (6.4σ, SEV2, n = 812, all hours)",
             observed=176e6, expected=8e6, unit="ns", sample_count=812, sigma=6.4),
        fact(2, "checkout", "POST /checkout", "extent",
             "The incident has 27 anomalies in 9 traces between 2026-11-03 12:00:00 UTC and 2026-11-03 12:00:40 UTC"),
        fact(3, "checkout", "SELECT carts", "self_time",
             "SELECT carts in checkout took 152 ms of self time, 151 ms over its usual 900 µs (n = 812), 84% of"
             " the slowdown of the trace",
             observed=152e6, expected=0.9e6, unit="ns", sample_count=812, share=0.84),
        fact(4, "shop-web", "GET /cart", "self_time",
             "GET /cart in shop-web took 24 ms of self time, 20 ms over its usual 4 ms (n = 640), 11% of the"
             " slowdown of the trace",
             observed=24e6, expected=4e6, unit="ns", sample_count=640, share=0.11),
    ]  # fmt: skip
    return world(facts, [cause(facts[2], "database", 0.8)])


def failing() -> tuple[Evidence, Draft]:
    """Failing payments, and a payment service that answers faster than usual."""
    facts = [
        fact(1, "bank", "POST /pay", "anomaly",
             "POST /pay in bank: 60 of 61 calls failed (7.2σ, SEV1, n = 900, all hours)",
             observed=0.98, expected=0.01, sample_count=900, sigma=7.2),
        fact(2, "ledger", "INSERT entries", "error",
             'INSERT entries in ledger failed with "KeyError": "price is missing"', observed=3e6, unit="ns"),
        fact(3, "risk", "POST /score", "anomaly",
             "POST /score in risk took 2 ms, usually 14 ms (5.1σ, SEV3, n = 700, all hours)",
             observed=2e6, expected=14e6, unit="ns", sample_count=700, sigma=5.1),
    ]  # fmt: skip
    return world(facts, [cause(facts[1], "error", 0.7)])


def late_message() -> tuple[Evidence, Draft]:
    """A message that waits, and a slow way between two services."""
    facts = [
        fact(1, "matcher", "process orders", "message_wait",
             "The message from publish orders in api reached process orders in matcher after 2.4 s, usually 12 ms"
             " (n = 300), 71% of the slowdown of the trace",
             observed=2.4e9, expected=12e6, unit="ns", sample_count=300, share=0.71,
             peer=("api", "publish orders")),
        fact(2, "web", "GET /quote", "edge_time",
             "GET /quote in web spent 640 ms outside the service it called, usually 3 ms",
             observed=640e6, expected=3e6, unit="ns"),
    ]  # fmt: skip
    return world(facts, [cause(facts[0], "message_wait", 0.7)])


def whale() -> tuple[Evidence, Draft]:
    """An order that is 3,400 times as large as usual."""
    facts = [
        fact(1, "wallet", "submit order", "amount",
             "submit order in wallet carried a BUY of 850 BTC, usually 0.25 BTC, 3,400× as much (8.1σ, SEV1, n = 420)",
             observed=850, expected=0.25, unit="BTC", sample_count=420, sigma=8.1),
        fact(2, "wallet", "submit order", "amount_value",
             "At its price of 42,000 USD it is worth 35,700,000 USD", observed=35.7e6, unit="USD"),
    ]  # fmt: skip
    return world(facts, [cause(facts[0], "amount", 0.9)])


def polyglot() -> tuple[Evidence, Draft]:
    """Failing pages behind a statement that is called too often, with a version that sets the traces apart."""
    facts = [
        fact(1, "storefront", "GET /products", "anomaly",
             "GET /products in storefront: 41 of 230 calls failed in 5 s, usually <0.1% (5.6σ, SEV3, n = 4,120,"
             " Tue 13:00–14:00 UTC)",
             observed=0.178, expected=0.0005, unit="share", sample_count=4120, sigma=5.6),
        fact(2, "catalog", "SELECT prices", "window",
             "SELECT prices in catalog has 31 anomalies in 12 traces between 2026-11-03 12:00:05 UTC and"
             " 2026-11-03 12:02:10 UTC"),
        fact(3, "catalog", "SELECT prices", "self_time",
             "SELECT prices in catalog took 214 ms of self time in 48 calls, 190 ms over its usual 24 ms"
             " (n = 3,310), 93% of the slowdown of the trace",
             observed=214e6, expected=24e6, unit="ns", sample_count=3310, share=0.93),
        fact(4, "storefront", "GET /products", "deploy",
             '"service.version = 2.4.1" in 97% of the traces of the incident, usually in 3%'),
        fact(5, "storefront", "GET /products", "critical_path",
             "The critical path of GET /products in storefront has 52 spans in 260 ms", observed=260e6, unit="ns"),
        fact(6, "catalog", "SELECT prices", "path_share",
             "SELECT prices in catalog holds 214 ms of the critical path", observed=214e6, unit="ns"),
        fact(7, "catalog", "db.client.connections.usage", "metric",
             'catalog: "db.client.connections.usage 40, usually 6"', observed=40, expected=6),
        fact(8, "storefront", "GET /products", "duration",
             "GET /products in storefront took 260 ms, 52 spans in its trace", observed=260e6, unit="ns"),
    ]  # fmt: skip
    return world(facts, [cause(facts[2], "repeated_calls", 0.8)])


def trade() -> tuple[Evidence, Draft]:
    """An account that trades with itself."""
    facts = [
        fact(1, "exchange", "match orders", "market",
             'match orders in exchange: "14 trades of one account with itself on BTC/USD in 60 s" (6.1σ, SEV2,'
             " n = 1,002)",
             observed=14, expected=0.1, sample_count=1002, sigma=6.1),
        fact(2, "exchange", "match orders", "order", 'The order says order.side = "BUY", order.type = "limit"'),
        fact(3, "exchange", "match orders", "account",
             "The account behind it has an id whose SHA-256 begins with 9f86d081884c"),
        fact(4, "exchange", "match orders", "duration", "match orders in exchange took 4 ms in all",
             observed=4e6, unit="ns"),
    ]  # fmt: skip
    return world(facts, [cause(facts[0], "self_trade", 0.9)])


def rides() -> tuple[Evidence, Draft]:
    """Slow rides behind a slow lookup, a declined card, and a queue that fills."""
    facts = [
        fact(1, "dispatch", "POST /rides", "anomaly",
             "POST /rides in dispatch took 3.1 s, usually 420 ms (5.8σ, SEV2, n = 2,210, all hours)",
             observed=3.1e9, expected=420e6, unit="ns", sample_count=2210, sigma=5.8),
        fact(2, "geo", "nearest_drivers", "self_time",
             "nearest_drivers in geo took 2.6 s of self time, 2.4 s over its usual 190 ms (n = 2,198), 91% of the"
             " slowdown of the trace",
             observed=2.6e9, expected=190e6, unit="ns", sample_count=2198, share=0.91),
        fact(3, "payments", "Charge", "error",
             'Charge in payments failed with "CardDeclined": "insufficient funds"', observed=80e6, unit="ns"),
        fact(4, "eta", "GET /eta", "anomaly",
             "GET /eta in eta: 12 of 80 calls failed in 5 s, usually <0.1% (4.4σ, SEV4, n = 990, all hours)",
             observed=0.15, expected=0.0005, unit="share", sample_count=990, sigma=4.4),
        fact(5, "dispatch", "POST /rides", "extent",
             "The incident has 64 anomalies in 31 traces between 2026-11-12 18:04:10 UTC and 2026-11-12 18:09:55 UTC"),
        fact(6, "geo", "process.cpu.utilization", "metric",
             'geo: "process.cpu.utilization 0.97, usually 0.31"', observed=0.97, expected=0.31),
    ]  # fmt: skip
    return world(facts, [cause(facts[1], "own_code", 0.85)])


def gone() -> tuple[Evidence, Draft]:
    """Slow orders behind a service that does not answer."""
    facts = [
        fact(1, "gateway", "GET /orders", "anomaly",
             "GET /orders in gateway took 1.8 s, usually 45 ms (7σ, SEV2, n = 1,400, all hours)",
             observed=1.8e9, expected=45e6, unit="ns", sample_count=1400, sigma=7.0),
        fact(2, "gateway", "GET /orders", "structure",
             'GET /orders in gateway: "GET /orders did not call GET stock in inventory, as in 88% of its spans,'
             ' usually in 2%"',
             observed=0.88, expected=0.02),
        fact(3, "gateway", "GET", "unanswered",
             "inventory does not answer: 97% of the calls to it failed without an answer, GET in gateway among them",
             observed=0.97, expected=0.0),
        fact(4, "gateway", "GET /orders", "extent",
             "The incident has 120 anomalies in 44 traces between 2026-11-20 10:02:00 UTC and 2026-11-20 10:06:30 UTC"),
    ]  # fmt: skip
    return world(facts, [cause(facts[2], "unanswered", 0.7)])


def pair() -> tuple[Evidence, Draft]:
    """Two faults at once, each with its own window."""
    facts = [
        fact(1, "feed", "GET /feed", "anomaly",
             "GET /feed in feed took 910 ms, usually 60 ms (6.6σ, SEV2, n = 2,020, all hours)",
             observed=910e6, expected=60e6, unit="ns", sample_count=2020, sigma=6.6),
        fact(2, "feed", "render", "self_time",
             "render in feed took 800 ms of self time, 760 ms over its usual 40 ms (n = 2,020), 88% of the"
             " slowdown of the trace",
             observed=800e6, expected=40e6, unit="ns", sample_count=2020, share=0.88),
        fact(3, "mailer", "Send", "error", 'Send in mailer failed with "SMTPTimeout": "timed out after 30 s"',
             observed=30e9, unit="ns"),
        fact(4, "feed", "render", "window",
             "render in feed has 40 anomalies in 20 traces between 2026-11-20 10:02:00 UTC and 2026-11-20 10:04:10 UTC"),
        fact(5, "mailer", "Send", "window",
             "Send in mailer has 9 anomalies in 9 traces between 2026-11-20 10:03:30 UTC and 2026-11-20 10:06:00 UTC"),
        fact(6, "feed", "GET /feed", "extent",
             "The incident has 49 anomalies in 29 traces between 2026-11-20 10:02:00 UTC and 2026-11-20 10:06:00 UTC"),
    ]  # fmt: skip
    own = cause(facts[1], "own_code", 0.8).model_copy(update={"evidence": ("E2", "E4")})
    other = cause(facts[2], "error", 0.5).model_copy(update={"separate": True, "evidence": ("E3", "E5")})
    return world(facts, [own, other])


def retry() -> tuple[Evidence, Draft]:
    """Failing charges that are asked for again and again."""
    facts = [
        fact(1, "billing", "POST /charge", "anomaly",
             "POST /charge in billing: 33 of 40 calls failed in 5 s, usually <0.1% (5.2σ, SEV2, n = 3,000, all hours)",
             observed=0.825, expected=0.0005, unit="share", sample_count=3000, sigma=5.2),
        fact(2, "psp", "Authorize", "error", 'Authorize in psp failed with "Unavailable": "upstream connect error"',
             observed=12e6, unit="ns"),
        fact(3, "billing", "Authorize", "repeats",
             'Authorize in billing: "called 4 times by POST /charge, usually once"'),
        fact(4, "billing", "POST /charge", "self_time",
             "POST /charge in billing took 90 ms of self time in 4 calls, 60 ms over its usual 30 ms (n = 3,000),"
             " 61% of the slowdown of the trace",
             observed=90e6, expected=30e6, unit="ns", sample_count=3000, share=0.61),
    ]  # fmt: skip
    return world(facts, [cause(facts[1], "error", 0.9)])


WORLDS = {
    "slow": slow(),
    "failing": failing(),
    "late": late_message(),
    "whale": whale(),
    "polyglot": polyglot(),
    "trade": trade(),
    "rides": rides(),
    "gone": gone(),
    "pair": pair(),
    "retry": retry(),
}
