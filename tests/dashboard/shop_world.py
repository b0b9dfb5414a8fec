"""What the fixture server knows: rows in memory, and DuckDB for SQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from tests.dashboard.shop_rows import (
    BIG_TRACE,
    GENAI_TRACE,
    HOSTILE,
    PROMPT,
    SLOW_TRACE,
    WHALE_TRACE,
    anomaly_row,
    big_trace,
    difference_rows,
    genai_trace,
    incident_row,
    iso,
    order_trace,
    span_id,
    whale_row,
)

ANOMALY_COLUMNS = ("anomaly_id", "severity", "state", "sigma", "incident_id", "span_start_time", "detector")
TABLES = """
    CREATE TABLE spans (
        batch_id BIGINT, trace_id VARCHAR, span_id VARCHAR, parent_span_id VARCHAR, service_name VARCHAR,
        span_name VARCHAR, span_kind VARCHAR, start_time TIMESTAMP_NS, duration_ns BIGINT,
        status_code VARCHAR,
        links STRUCT(trace_id VARCHAR, span_id VARCHAR)[] DEFAULT [], attributes VARIANT,
        resource_attributes VARIANT, scope_name VARCHAR DEFAULT '', scope_version VARCHAR DEFAULT '',
        trace_state VARCHAR DEFAULT ''
    );
    CREATE TABLE amount_baselines (
        service_name VARCHAR, operation VARCHAR, span_kind VARCHAR, cell VARCHAR, sample_count BIGINT,
        p50 DOUBLE, p99 DOUBLE, sigma3 DOUBLE
    );
    CREATE TABLE metrics (metric_name VARCHAR);
    CREATE TABLE logs (
        "time" TIMESTAMP_NS, service_name VARCHAR, severity_number INTEGER, severity_text VARCHAR,
        trace_id VARCHAR, span_id VARCHAR, body VARIANT, attributes VARIANT
    );
    CREATE TABLE anomalies (
        anomaly_id VARCHAR, severity TINYINT, state VARCHAR, sigma DOUBLE, incident_id VARCHAR,
        span_start_time TIMESTAMP, detector VARCHAR
    );
    CREATE TABLE incidents (incident_id VARCHAR);
    CREATE TABLE trace_scores (trace_id VARCHAR, anomaly_sigma DOUBLE);
    CREATE TABLE genai_calls (
        trace_id VARCHAR, span_id VARCHAR, operation VARCHAR, provider VARCHAR, model VARCHAR,
        input_tokens BIGINT, output_tokens BIGINT, cost DOUBLE, conversation_id VARCHAR, convention VARCHAR,
        prompt VARCHAR, completion VARCHAR
    );
    CREATE TABLE explanations (explanation_id VARCHAR, subject_kind VARCHAR, subject_id VARCHAR);
    CREATE TABLE feedback (
        feedback_id VARCHAR, explanation_id VARCHAR, created_at TIMESTAMP_NS, updated_at TIMESTAMP_NS,
        rater VARCHAR, rating VARCHAR, correction JSON, comment VARCHAR, UNIQUE (explanation_id, rater)
    );
"""


class World:
    """The answers of the server; tests change them."""

    def __init__(self) -> None:
        self.anomalies: list[dict[str, Any]] = []
        self.incidents: list[dict[str, Any]] = []
        self.differences: dict[str, list[dict[str, Any]]] = {}
        self.traces: dict[str, dict[str, Any]] = {}
        self.services: list[dict[str, Any]] = []
        self.status = "ok"
        self.lock = threading.Lock()
        self.db = duckdb.connect()
        self.db.execute(TABLES)
        self.db.execute(load_sql("collector.store.schema", "17_operation"))

    def fill(self) -> None:
        """A slow database and a whale among ordinary traffic."""
        self.status = "degraded"
        slow = [anomaly_row(f"a-slow-{n}", sigma=7.4 - n / 10) for n in range(12)]
        hiccup = anomaly_row(
            "a-hiccup",
            severity=5,
            sigma=3.4,
            operation="journal.append",
            service_name="kx-matcher",
            observed=31e6,
            expected=6.7e6,
            incident_id=None,
        )
        hostile = anomaly_row("a-hostile", severity=4, sigma=4.4, operation=HOSTILE, incident_id=None)
        big = anomaly_row("a-big", severity=5, sigma=3.1, trace_id=BIG_TRACE, incident_id=None)
        self.anomalies = [*slow, whale_row(), hiccup, hostile, big]
        self.incidents = [
            incident_row("inc-slow", "latency", "SELECT wallets in kx-exchange: p50 152 ms against 0.9 ms"),
            incident_row(
                "inc-whale",
                "amount",
                "Whale: BUY 402.5 BTC by order.submit.client",
                severity=2,
                anomaly_count=1,
                trace_count=1,
                exemplar_trace_id=WHALE_TRACE,
                services=["kx-wallet"],
                root_causes=[
                    {
                        "rank": 1,
                        "service": "kx-wallet",
                        "operation": "order.submit.client",
                        "score": 1.0,
                        "share": None,
                        "kind": "amount",
                        "evidence": [],
                    }
                ],
            ),
        ]
        self.differences = {"inc-slow": difference_rows()}
        self.traces = {
            SLOW_TRACE: order_trace(anomaly_ids=("a-slow-0",)),
            BIG_TRACE: big_trace(),
            WHALE_TRACE: order_trace(WHALE_TRACE, slow=False, anomaly_ids=("a-whale",)),
            GENAI_TRACE: genai_trace(),
        }
        self.db.execute(
            "INSERT INTO genai_calls "
            "VALUES (?, ?, 'chat', 'acme', 'acme-large', 1200, 85, 0.0042, NULL, 'gen_ai', ?, ?)",
            [GENAI_TRACE, span_id(6), PROMPT, HOSTILE],
        )
        names = ["api-gateway", "kx-exchange", "kx-matcher", "kx-wallet"]
        self.services = [
            {
                "service_name": name,
                "status": "degraded" if name == "kx-exchange" else "ok",
                "span_count": 15_000,
                "rate_per_s": 230.0 + 31 * index,
                "error_rate": 0.0 if index else 0.0042,
                "p50_ns": 900_000 * (index + 1),
                "p95_ns": 4_100_000 * (index + 1),
                "p99_ns": 152_000_000,
                "open_anomalies": 12 if index == 1 else index,
            }
            for index, name in enumerate(names)
        ]
        self.db.executemany(
            "INSERT INTO anomalies VALUES (?, ?, ?, ?, ?, ?, ?)",
            [[row[name] for name in ANOMALY_COLUMNS] for row in self.anomalies],
        )
        self.db.execute(
            """
            INSERT INTO spans (
                batch_id, trace_id, span_id, parent_span_id, service_name, span_name, span_kind, start_time,
                duration_ns, status_code
            )
            SELECT 1, md5(i::VARCHAR), substr(md5(i::VARCHAR), 1, 16), NULL, s.name, 'request', 'SERVER',
                   ((now() AT TIME ZONE 'UTC') - to_milliseconds((i * 150)::BIGINT))::TIMESTAMP_NS,
                   (s.base_ns * (1 + (hash(i) % 100) / 200.0))::BIGINT
                   + CASE WHEN s.name = 'kx-exchange' AND i BETWEEN 200 AND 900 THEN 150000000 ELSE 0 END,
                   CASE WHEN hash(i + 7) % 400 = 0 THEN 'ERROR' ELSE 'UNSET' END
            FROM range(6000) r(i), (VALUES ('api-gateway', 20000000), ('kx-exchange', 17500000),
                   ('kx-matcher', 8300000), ('kx-wallet', 24000000)) s(name, base_ns)
            """
        )
        self.db.execute(
            """
            INSERT INTO spans (
                batch_id, trace_id, span_id, service_name, span_name, span_kind, start_time, duration_ns,
                status_code, attributes
            )
            SELECT 1, ?, ?, 'kx-wallet', 'order.submit.client', 'CLIENT',
                   ((now() AT TIME ZONE 'UTC') - INTERVAL 50 SECOND)::TIMESTAMP_NS, 20000000, 'UNSET',
                   '{"user.id": "user-<b>7"}'::JSON::VARIANT
            """,
            [WHALE_TRACE, span_id(1)],
        )
        self.db.execute(
            """
            INSERT INTO logs
            SELECT ((now() AT TIME ZONE 'UTC') - to_seconds(i))::TIMESTAMP_NS, 'kx-exchange',
                   CASE WHEN i % 10 = 0 THEN 17 ELSE 9 END, CASE WHEN i % 10 = 0 THEN 'ERROR' ELSE 'INFO' END,
                   ?, ?, (CASE WHEN i % 10 = 0 THEN ? ELSE 'order ' || i || ' filled' END)::VARIANT, NULL
            FROM range(40) r(i)
            """,
            [SLOW_TRACE, span_id(6), f"no funds {HOSTILE}"],
        )

    def query(self, statement: str, params: Any) -> pa.Table:
        with self.lock, self.db.cursor() as cursor:
            return cursor.sql(statement, params=params).to_arrow_table()

    def decide(self, incident_id: str, said: dict[str, Any]) -> dict[str, Any] | None:
        """Puts an incident into a state, with who said so and when."""
        row = next((row for row in self.incidents if row["incident_id"] == incident_id), None)
        if row is not None:
            row["state"] = said["state"]
            row["decided"] = {**said, "said_at": iso(datetime.now(UTC))}
            row["decisions"] = [row["decided"], *row.get("decisions", [])]
        return row

    def set_state(self, anomaly_id: str, state: str) -> dict[str, Any] | None:
        self.write("UPDATE anomalies SET state = ? WHERE anomaly_id = ?", [state, anomaly_id])
        row = next((row for row in self.anomalies if row["anomaly_id"] == anomaly_id), None)
        if row:
            row["state"] = state
        return row

    def write(self, statement: str, params: list[Any]) -> None:
        with self.lock, self.db.cursor() as cursor:
            cursor.execute(statement, params)


def explain(world: World, kind: str, subject_id: str) -> dict[str, Any]:
    whale = "whale" in subject_id
    trace_id = WHALE_TRACE if whale else BIG_TRACE if subject_id == "a-big" else SLOW_TRACE
    row = 0 if whale else 6
    place = ("kx-wallet", "order.submit.client") if whale else ("kx-exchange", "SELECT wallets")
    summary = (
        "One order of 402.5 BTC was submitted, 497 times the usual 0.81 BTC. Latency was normal."
        if whale
        else "SELECT wallets in kx-exchange took 152 ms of self time, 151 ms over its usual 0.9 ms (n = 812)."
    )
    explanation_id = f"e-{subject_id}"
    if not world.query("SELECT 1 FROM explanations WHERE explanation_id = ?", [explanation_id]).num_rows:
        world.write("INSERT INTO explanations VALUES (?, ?, ?)", [explanation_id, kind, subject_id])
    return {
        "explanation_id": explanation_id,
        "subject_kind": kind,
        "subject_id": subject_id,
        "trace_id": trace_id,
        "created_at": iso(datetime.now(UTC)),
        "source": "deterministic",
        "model": None,
        "summary": summary,
        "root_causes": [
            {
                "rank": 1,
                "service": place[0],
                "operation": place[1],
                "statement": "It holds nearly all of the excess.",
                "confidence": 0.93,
                "evidence": ["E1", "E2"],
            }
        ],
        "evidence": [
            {
                "evidence_id": "E1",
                "trace_id": trace_id,
                "span_id": span_id(row),
                "service": place[0],
                "operation": place[1],
                "kind": "self_time",
                "statement": "152 ms of self time against 0.9 ms.",
                "observed": 152e6,
                "expected": 0.9e6,
                "unit": "ns",
            },
            {
                "evidence_id": "E2",
                "trace_id": trace_id,
                "span_id": span_id(5),
                "service": "kx-exchange",
                "operation": "POST /api/v1/orders",
                "kind": "critical_path",
                "statement": "Waits for E1.",
                "observed": 168e6,
                "expected": 17.5e6,
                "unit": "ns",
            },
        ],
        "recommendations": ["Look for locks and missing indexes on wallets.", f"Ignore this: {HOSTILE}"],
        "confidence": 0.93,
        "notice": None,
    }
