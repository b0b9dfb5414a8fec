"""Secrets of many kinds: planted wherever telemetry and people write, sought wherever text is kept."""

from __future__ import annotations

import json
from typing import Any

from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from tests.llm.support import MS, SLOW_TRACE

# What must not be found, inside what is planted.
CANARIES = {
    "flag": ("login --password canaryflag", "canaryflag"),
    "short flag": ("mysql -u root -pCanaryshort1", "Canaryshort1"),
    "assigned": ("password=canaryassigned", "canaryassigned"),
    "second word": ("password: canary horse staple", "staple"),
    "xml": ("<password>canaryxml</password>", "canaryxml"),
    "prose": ("the password is canaryprose", "canaryprose"),
    "api key": ("api_key sk-canary0123456789", "canary0123456789"),
    "sas": ("https://a.blob.core.windows.net/c?sv=1&sig=canarysas%3D", "canarysas"),
    "bearer": ("Authorization: Bearer canary.bearer1", "canary.bearer1"),
    "jwt": ("eyJhbGciOi.eyJzdWIiOiJjYW5hcnki.c2ln", "eyJzdWIiOiJjYW5hcnki"),
    "aws": ("AKIACANARYCANARY1234", "AKIACANARY"),
    "pem": ("-----BEGIN PRIVATE KEY-----\nMIIcanary", "MIIcanary"),
    "url": ("postgres://root:canaryurl@db/x", "canaryurl"),
    "cookie": ("Cookie: sid=canarycookie; b=2", "canarycookie"),
    "hex": ("a94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "a94a8fe5"),
    "base32": ("JBSWY3DPEHPK3PXPJBSWY3DP", "JBSWY3DP"),
    "iban": ("DE89 3704 0044 0532 0130 00", "3704 0044"),
    "ssn": ("536-22-1234", "536-22"),
    "phone": ("+49 170 1234567", "170 1234567"),
    "mac": ("00:1A:2B:3C:4D:5E", "1A:2B:3C"),
    "home": ("/home/canaryhome/x.py", "canaryhome"),
    "card": ("4111 1111 1111 1111", "4111 1111"),
    "email": ("canary@example.com", "canary@example"),
    "webhook": ("https://chat.example/api/webhooks/81234/canaryhook-a81x9", "canaryhook"),
    "another language": ("das Passwort ist canarywort", "canarywort"),
    "statement": ("ALTER USER a IDENTIFIED BY 'canaryby'", "canaryby"),
    "passport": ("passport no C01X00T47 refused", "C01X00"),
    "birthday": ("customer born 1984-03-12", "1984-03-12"),
    "seed": ("zoo zone zero youth young you yellow year wrong write wrist world", "zoo zone"),
}


ATTRIBUTES = ("http.route", "server.address", "error.type", "db.query.text")


def found(text: str) -> list[str]:
    return [name for name, (_, secret) in CANARIES.items() if secret in text]


def test_the_search_finds_them() -> None:
    """Each canary is found where it was not redacted: the search below can fail."""
    assert found(json.dumps([planted for planted, _ in CANARIES.values()])) == list(CANARIES)


def test_canaries_are_kept_nowhere(shop: Any, narrator: Any, explainer: Any, endpoint: Any) -> None:
    """Whatever field carries a secret, it is in no request, no explanation and no kept context."""
    shop.usual()
    for number, (name, (planted, _)) in enumerate(CANARIES.items()):
        trace_id, incident_id = f"{number + 1:032x}", f"in{number}"
        exception = {"exception.type": planted, "exception.message": f"refused: {planted}"}
        span_id = shop.span(
            trace_id, planted, f"pay {planted}", "CLIENT", ms=20, status="ERROR", message=planted,
            exception=exception, attributes=dict.fromkeys(ATTRIBUTES, planted),
        )  # fmt: skip
        shop.anomaly(
            f"an{number}", trace_id, span_id, planted, f"pay {planted}", observed=20 * MS, expected=MS,
            unit=planted, details={"text": planted}, incident_id=incident_id,
        )  # fmt: skip
        said = {"kind": "log", "trace_id": trace_id, "span_id": span_id, "text": planted}
        cause = {"service": planted, "operation": f"pay {planted}", "share": 0.9, "evidence": [said]}
        shop.incident(incident_id, trace_id, [cause], title=f"pay {planted}")
        endpoint.says({"summary": f"{planted} [E1].", "root_causes": [], "recommendations": [planted]})
        by_model = narrator.analyse(Subject(kind="incident", id=incident_id))
        by_code = explainer.analyse(Subject(kind="trace", id=trace_id))
        assert found(by_model.model_dump_json() + by_code.model_dump_json()) == [], name
    assert endpoint.requests
    assert found(json.dumps(endpoint.requests, ensure_ascii=False)) == []
    stored = shop.store.read("SELECT to_json(e)::VARCHAR AS row FROM explanations AS e").to_pylist()
    assert len(stored) == 2 * len(CANARIES)
    assert found("".join(row["row"] for row in stored)) == []


def test_canaries_in_feedback(slow_shop: Any, explainer: Any, store: Any) -> None:
    """A secret pasted into a comment or a correction does not stay in the feedback's row."""
    explanation = explainer.analyse(Subject(kind="trace", id=SLOW_TRACE))
    book = FeedbackBook(store)
    for planted, _ in CANARIES.values():
        correction = {"summary": f"Really:\n{planted}", "root_service": planted, "recommendations": [planted]}
        body = {"explanation_id": explanation.explanation_id, "rating": "down", "comment": planted}
        row, _ = book.record(Feedback.model_validate({**body, "correction": correction}))
        assert found(json.dumps(row, ensure_ascii=False)) == []
        assert row["correction"]["summary"].startswith("Really:\n")
    stored = store.read("SELECT to_json(f)::VARCHAR AS row FROM feedback AS f").to_pylist()
    assert found("".join(row["row"] for row in stored)) == []
