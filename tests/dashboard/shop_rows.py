"""The rows of a small shop floor: one slow database, one whale, in the shapes of the HTTP API."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

SLOW_TRACE = "5a" * 16
BIG_TRACE = "b1" * 16
WHALE_TRACE = "77" * 16
GENAI_TRACE = "6e" * 16
PROMPT = '[{"role": "user", "parts": [{"type": "text", "content": "Why is it slow?\\nBe short."}]}]'
HOSTILE = "<img src=x onerror=alert(1)> ![x](https://example.invalid/a.png) [l](javascript:alert(1))"

# service, name, kind, depth, parent row, offset, duration, usual duration; times in microseconds
ORDER = [
    ("kx-wallet", "order.submit.client", "INTERNAL", 0, None, 0, 176_000, 24_000),
    ("kx-wallet", "POST", "CLIENT", 1, 0, 300, 172_000, 21_500),
    ("api-gateway", "kong", "SERVER", 2, 1, 900, 170_500, 20_000),
    ("api-gateway", "kong.router", "INTERNAL", 3, 2, 1_000, 150, 140),
    ("api-gateway", "kong.balancer", "CLIENT", 3, 2, 1_200, 170_000, 19_300),
    ("kx-exchange", "POST /api/v1/orders", "SERVER", 4, 4, 1_900, 168_000, 17_500),
    ("kx-exchange", "SELECT wallets", "CLIENT", 5, 5, 2_400, 152_000, 900),
    ("kx-exchange", "INSERT orders", "CLIENT", 5, 5, 154_600, 1_150, 1_100),
    ("kx-exchange", "publish orders", "INTERNAL", 5, 5, 156_000, 9_800, 9_500),
    ("kx-exchange", "publish <default>", "PRODUCER", 6, 8, 156_100, 260, 250),
    ("kx-matcher", "order.match", "CONSUMER", 7, 9, 156_500, 8_600, 8_300),
    ("kx-matcher", "orderbook.execute", "INTERNAL", 8, 10, 156_700, 420, 400),
    ("kx-matcher", "journal.append", "INTERNAL", 8, 10, 157_200, 6_900, 6_700),
    ("kx-matcher", "order.response", "PRODUCER", 8, 10, 164_300, 240, 230),
    ("kx-exchange", "payment_response process", "CONSUMER", 5, 5, 165_400, 310, 300),
    ("kx-exchange", "UPDATE wallets", "CLIENT", 5, 5, 166_200, 1_300, 1_200),
    ("kx-wallet", "order.response.received", "INTERNAL", 1, 0, 173_100, 2_100, 2_000),
]
CRITICAL_ROWS = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 15, 16}


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def span_id(row: int) -> str:
    return f"{row + 1:016x}"


def order_trace(
    trace_id: str = SLOW_TRACE, *, slow: bool = True, anomaly_ids: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The order trace of 17 spans as `GET /api/monitor/trace/{id}` gives it."""
    start_ns = int((datetime.now(UTC) - timedelta(minutes=2)).timestamp() * 1e9)
    saved_us = 0 if slow else 151_100
    spans = []
    for row, (service, name, kind, depth, parent, offset_us, duration_us, usual_us) in enumerate(ORDER):
        holds_slow = row in {0, 1, 2, 4, 5, 6}
        duration_ns = (duration_us - (saved_us if holds_slow else 0)) * 1000
        offset_ns = (offset_us - (saved_us if offset_us > 150_000 else 0)) * 1000
        spans.append(
            {
                "span_id": span_id(row),
                "parent_span_id": None if parent is None else span_id(parent),
                "service_name": service,
                "span_name": name,
                "span_kind": kind,
                "start_unix_nano": str(start_ns + offset_ns),
                "offset_ns": offset_ns,
                "duration_ns": duration_ns,
                "self_time_ns": duration_ns if row in {6, 7, 12} else duration_ns // 20,
                "status_code": "UNSET",
                "status_message": "",
                "attributes": {"order.id": "o-1", "order.pair": "BTC-USD", "hostile": HOSTILE},
                "events": [
                    {"name": "note", "time_unix_nano": str(start_ns + offset_ns), "attributes": {"k": "v"}}
                ],
                "depth": depth,
                "on_critical_path": row in CRITICAL_ROWS,
                "orphan": False,
                "outlives_parent": False,
                "baseline": {
                    "p50_ns": usual_us * 1000,
                    "p99_ns": usual_us * 1800,
                    "sample_count": 812,
                    "cell": "hour_of_week:115",
                },
                "excess_ns": duration_ns - usual_us * 1000,
                "percentile": 99.999 if slow and holds_slow else 50.0,
                "sigma": 7.4 if slow and row == 6 else 0.1,
                "anomaly_ids": list(anomaly_ids) if row in {0, 6} else [],
            }
        )
    return {
        "trace_id": trace_id,
        "spans": spans,
        "critical_path": [span_id(row) for row in sorted(CRITICAL_ROWS)],
        "duration_ns": spans[0]["duration_ns"],
        "services": ["api-gateway", "kx-exchange", "kx-matcher", "kx-wallet"],
        "truncated": False,
        "span_count": len(spans),
    }


def big_trace(span_count: int = 5_000) -> dict[str, Any]:
    """A trace as large as the server sends: one root, the rest its children in a row; one has failed."""
    trace = order_trace(BIG_TRACE)
    root, child = trace["spans"][0], trace["spans"][1]
    spans = [root | {"duration_ns": span_count * 20_000}]
    for number in range(1, span_count):
        place = {"span_id": f"{number + 1:016x}", "offset_ns": number * 10_000, "duration_ns": 15_000}
        failed = {"status_code": "ERROR"} if number == span_count - 10 else {}
        spans.append(child | place | failed | {"span_name": f"call {number}", "excess_ns": 0})
    return trace | {"spans": spans, "span_count": 2 * span_count, "truncated": True}


def genai_trace() -> dict[str, Any]:
    """An order trace in which a statement is a call of a language model instead."""
    trace = order_trace(GENAI_TRACE, slow=False)
    trace["spans"][6]["attributes"] = {"gen_ai.request.model": "acme-large"}
    return trace


def anomaly_row(identifier: str, **changes: Any) -> dict[str, Any]:
    """A latency anomaly on SELECT wallets, with changes."""
    now = datetime.now(UTC)
    row = {
        "anomaly_id": identifier,
        "detected_at": iso(now - timedelta(seconds=40)),
        "detector": "latency",
        "severity": 1,
        "sigma": 7.4,
        "trace_id": SLOW_TRACE,
        "span_id": span_id(6),
        "service_name": "kx-exchange",
        "operation": "SELECT wallets",
        "span_kind": "CLIENT",
        "span_start_time": iso(now - timedelta(seconds=41)),
        "span_duration_ns": 152_000_000,
        "observed": 152e6,
        "expected": 0.9e6,
        "unit": "ns",
        "cell": "hour_of_week:115",
        "sample_count": 812,
        "details": {},
        "state": "open",
        "state_changed_at": iso(now),
        "incident_id": "inc-slow",
    }
    return row | changes


def whale_row(identifier: str = "a-whale") -> dict[str, Any]:
    return anomaly_row(
        identifier,
        detector="amount",
        severity=2,
        sigma=6.3,
        trace_id=WHALE_TRACE,
        span_id=span_id(0),
        service_name="kx-wallet",
        operation="order.submit.client",
        observed=402.5,
        expected=0.81,
        unit="BTC",
        cell="operation",
        details={"asset": "BTC", "side": "BUY", "attribute": "order.quantity"},
        incident_id="inc-whale",
    )


def incident_row(identifier: str, kind: str, title: str, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    row = {
        "incident_id": identifier,
        "kind": kind,
        "state": "open",
        "severity": 1,
        "title": title,
        "opened_at": iso(now - timedelta(minutes=2)),
        "last_seen_at": iso(now - timedelta(seconds=5)),
        "first_span_time": iso(now - timedelta(minutes=2, seconds=1)),
        "last_span_time": iso(now - timedelta(seconds=6)),
        "anomaly_count": 12,
        "trace_count": 6,
        "exemplar_trace_id": SLOW_TRACE,
        "services": ["kx-exchange", "kx-wallet"],
        "root_causes": [
            {
                "rank": 1,
                "service": "kx-exchange",
                "operation": "SELECT wallets",
                "score": 0.91,
                "share": 0.99,
                "kind": "latency",
                "evidence": [],
            }
        ],
    }
    return row | changes


def difference_rows() -> list[dict[str, Any]]:
    """What the traces of the slow database have in common: one client version, and text that is hostile."""
    rank = {"trace_id": SLOW_TRACE, "span_id": span_id(0)}
    client = {"service_name": "kx-wallet", "operation": "order.submit.client"}
    return [
        {
            **rank,
            **client,
            "rank": 1,
            "key": "kx-wallet: service.version",
            "value": "2.4.1",
            "share": 0.92,
            "usual_share": 0.031,
            "lift": 29.7,
            "z": 14.2,
            "trace_count": 11,
            "also": ["client.build = 911"],
        },
        {
            **rank,
            **client,
            "rank": 2,
            "key": "order.note",
            "value": HOSTILE,
            "share": 0.25,
            "usual_share": 0.0,
            "lift": 320.0,
            "z": 4.4,
            "trace_count": 3,
            "also": [],
        },
    ]


def group_key(row: dict[str, Any]) -> str:
    """The id of a row's group of anomalies."""
    named = [str(row[name]) for name in ("detector", "service_name", "operation", "incident_id")]
    return hashlib.md5("".join(named).encode()).hexdigest()


def page_of_groups(rows: list[dict[str, Any]], limit: int, offset: int) -> dict[str, Any]:
    """Rows as `GET /api/monitor/anomaly-groups` groups them."""
    members: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        members.setdefault(group_key(row), []).append(row)
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    groups = []
    for key, group in members.items():
        worst = max(group, key=lambda row: row["sigma"])
        groups.append(
            {
                name: worst[name]
                for name in ("detector", "service_name", "operation", "span_kind", "incident_id")
            }
            | {
                "group_id": key,
                "anomaly_count": len(group),
                "trace_count": len({row["trace_id"] for row in group}),
                "open_count": sum(row["state"] == "open" for row in group),
                "severity": min(row["severity"] for row in group),
                "sigma": worst["sigma"],
                "worst": {
                    name: worst[name]
                    for name in (
                        "anomaly_id",
                        "trace_id",
                        "span_id",
                        "observed",
                        "expected",
                        "unit",
                        "details",
                    )
                },
                "median_observed": worst["observed"],
                "first_span_unix_nano": str(now_ns - 60 * 10**9),
                "last_span_unix_nano": str(now_ns - 10**9),
                "detected_unix_nano": str(now_ns),
                "states": sorted({row["state"] for row in group}),
            }
        )
    groups.sort(key=lambda group: (group["severity"], -group["sigma"]))
    shown = groups[offset : offset + limit]
    return {"groups": shown, "count": len(shown), "total": len(groups), "anomaly_total": len(rows)}
