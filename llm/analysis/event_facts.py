"""Facts about events that are no fault of a service: an unusual amount, a moved market, a self-trade."""

from __future__ import annotations

import hashlib
import re

from detectors.model.amounts import CALL_KINDS, unit_of
from detectors.model.anomaly import Anomaly
from llm.analysis.facts import FactBook, asset, place
from llm.analysis.traced import TracedSpan
from llm.analysis.units import duration, quantity, significant
from llm.explanation import Cause, CauseKind
from llm.redaction.redact import allowed_attributes, quoted_text, redact_name

EVENTS = frozenset({"amount", "market"})
ACCOUNT_KEYS = ("user.id", "enduser.id", "account.id")
_SELF_TRADES = frozenset({"self-trade", "round trip"})
_SIDE = re.compile(r"[A-Za-z_]{1,12}")


def account_digest(account: object) -> str:
    """The name of an account whose id must not leave the process: the start of the id's SHA-256.

    `spyhop sql` finds it: `WHERE sha256(attributes."user.id"::VARCHAR)[:12] = '…'`.
    """
    return hashlib.sha256(str(account).encode()).hexdigest()[:12]


def add_event(book: FactBook, span: TracedSpan, anomaly: Anomaly) -> list[Cause]:
    """The facts of an event, and the event itself as its cause."""
    if anomaly.detector == "market":
        text = quoted_text(anomaly.details.get("text") or "")
        numbers = f"({significant(anomaly.sigma)}σ, SEV{anomaly.severity}, n = {anomaly.sample_count:,})"
        statement = f"{place(span)}: {text} {numbers}"
        evidence = [add_observation(book, span, anomaly, "market", statement)]
        kind: CauseKind = "self_trade" if anomaly.details.get("rule") in _SELF_TRADES else "market"
        said = f"What was traded is the anomaly, not the system: {statement}"
    else:
        statement = _amount_statement(span, anomaly)
        evidence = [
            add_observation(book, span, anomaly, "amount", statement),
            *_add_order_facts(book, span, anomaly),
        ]
        kind, said = "amount", f"The amount itself is the anomaly, not the system: {statement}"
    samples = anomaly.sample_count
    return [
        Cause(
            service=redact_name(anomaly.service_name),
            operation=redact_name(anomaly.operation),
            kind=kind,
            statement=said,
            score=1.0,
            confidence=min(1.0, anomaly.sigma / 5) * samples / (samples + 30),
            evidence=tuple(evidence),
        )
    ]


def _amount_statement(span: TracedSpan, anomaly: Anomaly) -> str:
    side = str(anomaly.details.get("side") or "")
    side = f"a {side} of " if _SIDE.fullmatch(side) else ""
    kind = str(anomaly.details.get("kind") or "")
    if kind == "cost":
        side = "a cost of "
    unit = _unit(anomaly)
    times = f", {significant(anomaly.observed / anomaly.expected)}× as much" if anomaly.expected > 0 else ""
    return (
        f"{place(span)} carried {side}{quantity(anomaly.observed, unit)},"
        f" usually {quantity(anomaly.expected, unit)}{times}"
        f" ({significant(anomaly.sigma)}σ, SEV{anomaly.severity}, n = {anomaly.sample_count:,})"
    )


def _add_order_facts(book: FactBook, span: TracedSpan, anomaly: Anomaly) -> list[str]:
    """Facts from the order's attributes (value, side, price, status, account), and the time in the system."""
    known = allowed_attributes(span.attributes)
    found: list[str] = []
    amount, price, pair = known.get("order.quantity"), known.get("order.price"), known.get("order.pair")
    if isinstance(amount, int | float) and isinstance(price, int | float) and isinstance(pair, str):
        quote = asset(pair.replace("-", "/").partition("/")[2])
        value = anomaly.details.get("value")  # at the market's price, as in the incident's title
        if isinstance(value, float) and anomaly.details.get("quote") == quote:
            statement = (
                f"It is worth {quantity(value, quote)}, with a limit at a price of {quantity(price, quote)}"
            )
        else:
            value = amount * price
            statement = f"At its price of {quantity(price, quote)} it is worth {quantity(value, quote)}"
        found.append(book.add(span, "amount_value", statement, observed=value, unit=quote))
    said = [
        f"{key} = {quoted_text(known[key])}"
        for key in ("order.side", "order.type", "order.status")
        if key in known
    ]
    if said:
        found.append(book.add(span, "order", f"The order says {', '.join(said)}"))
    account = next((span.attributes[key] for key in ACCOUNT_KEYS if span.attributes.get(key)), None)
    if account is not None:
        statement = f"The account behind it has an id whose SHA-256 begins with {account_digest(account)}"
        found.append(book.add(span, "account", statement))
    if span.duration_ns > 0:
        statement = f"{place(span)} took {duration(span.duration_ns)} in all"
        book.add(span, "duration", statement, observed=span.duration_ns, unit="ns")
    return found


def _unit(anomaly: Anomaly) -> str:
    """Tokens, or an asset."""
    kind = str(anomaly.details.get("kind") or "")
    return unit_of(kind, "") if kind in CALL_KINDS else asset(anomaly.unit)


def add_observation(book: FactBook, span: TracedSpan, anomaly: Anomaly, kind: str, statement: str) -> str:
    return book.add(
        span, kind, statement, observed=anomaly.observed, expected=anomaly.expected,
        unit=_unit(anomaly), sample_count=anomaly.sample_count, sigma=anomaly.sigma,
    )  # fmt: skip
