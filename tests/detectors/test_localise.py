from __future__ import annotations

import pyarrow as pa

from detectors.localise import localise_latency

MS = 1_000_000
SCHEMA = pa.schema(
    [
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("parent_span_id", pa.string()),
        ("service_name", pa.string()),
        ("operation", pa.string()),
        ("span_kind", pa.string()),
        ("start_unix_nano", pa.int64()),
        ("duration_ns", pa.int64()),
        ("status_code", pa.string()),
        ("status_message", pa.string()),
    ]
)
USUAL_NS = {"web": 1.0 * MS, "call": 0.5 * MS, "api": 2.0 * MS, "SELECT stock": 1.0 * MS}


def trace(
    number: int, *, api_ms: int = 2, db_ms: int = 1, gap_ms: int = 0, error: str = ""
) -> list[dict[str, object]]:
    """web → call (client) → api (server) → SELECT stock (client)."""
    inner = api_ms + db_ms
    rows = [
        ("a", None, "shop", "web", "SERVER", 0, inner + gap_ms + 2, ""),
        ("b", "a", "shop", "call", "CLIENT", 1, inner + gap_ms, ""),
        ("c", "b", "stock", "api", "SERVER", 1 + gap_ms, inner, error),
        ("d", "c", "stock", "SELECT stock", "CLIENT", 2 + gap_ms, db_ms, error),
    ]
    return [
        {
            "trace_id": f"t{number}",
            "span_id": f"{span}{number}",
            "parent_span_id": above and f"{above}{number}",
            "service_name": service,
            "operation": operation,
            "span_kind": kind,
            "start_unix_nano": start * MS,
            "duration_ns": length * MS,
            "status_code": "ERROR" if message else "UNSET",
            "status_message": message,
        }
        for span, above, service, operation, kind, start, length, message in rows
    ]


def causes(*traces: list[dict[str, object]]) -> list[dict[str, object]]:
    spans = pa.Table.from_pylist([row for rows in traces for row in rows], schema=SCHEMA)
    return localise_latency(spans, lambda service, operation, kind: USUAL_NS[operation])


def test_slow_database_call_is_charged_to_the_service_that_made_it():
    """A database client span without a server span below is the caller's own time."""
    (first, *_) = causes(*(trace(i, db_ms=150) for i in range(5)))
    assert (first["rank"], first["service"], first["operation"]) == (1, "stock", "SELECT stock")
    assert first["kind"] == "exclusive_time"
    evidence = first["evidence"][0]
    assert (evidence["observed"], evidence["expected"], evidence["unit"]) == (150 * MS, 1 * MS, "ns")
    assert evidence["text"] == "SELECT stock took 150 ms of its own, usually 1 ms"
    assert evidence["span_id"].startswith("d")


def test_time_between_two_services_is_an_edge():
    """A gap between client and server span is charged to the client span, as time on the edge."""
    (first, *_) = causes(*(trace(i, gap_ms=80) for i in range(5)))
    assert (first["service"], first["operation"], first["kind"]) == ("shop", "call", "edge_time")


def test_usual_time_is_no_cause():
    """An operation that is always the slowest is not blamed for what another one adds."""
    found = localise_latency(
        pa.Table.from_pylist(trace(1, api_ms=500, db_ms=60), schema=SCHEMA),
        lambda service, operation, kind: {"api": 500.0 * MS}.get(operation, 0.5 * MS),
    )
    assert found[0]["operation"] == "SELECT stock"


def test_deepest_error_counts():
    """Where every trace fails, the deepest failing span is named with its message."""
    (first, *_) = causes(*(trace(i, error="deadlock") for i in range(4)))
    assert first["operation"] == "SELECT stock"
    assert "SELECT stock failed: deadlock" in [e["text"] for e in first["evidence"]]


def test_ranks_are_one_for_each_service():
    """No service takes two ranks."""
    found = causes(*(trace(i, api_ms=40, db_ms=150, gap_ms=20) for i in range(5)))
    assert [cause["service"] for cause in found] == ["stock", "shop"]
    assert [cause["rank"] for cause in found] == [1, 2]


def test_nothing_to_localise():
    """No spans, no causes."""
    assert causes() == []
