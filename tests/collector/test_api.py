from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from collector.api import create_app
from collector.errors import Conflict, InvalidInput, NotFound, PortInUse, Unavailable
from collector.http.address import Address, parse_address
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store


def sql(running: Any, query: str, **headers: str) -> Any:
    return running.api.post("/api/sql", json={"query": query}, headers=headers)


def test_sql_as_json(shared: Any) -> None:
    """JSON holds columns with DuckDB's types, rows, and values that JSON has no form for as text."""
    answer = sql(
        shared,
        "SELECT 1::BIGINT AS n, make_timestamp_ns(1) AS t, 'nan'::DOUBLE AS d,"
        " ({'a': [1, NULL]}::VARIANT) AS v,"
        " [1, 2] AS l, '\\x00\\xFF'::BLOB AS b, NULL AS nothing,"
        " DATE '2026-01-02' AS day, 1.5::DECIMAL(5,2) AS e,"
        " sum(x) AS total FROM range(3) r(x)",
    ).json()
    elapsed_ms = answer.pop("elapsed_ms")
    assert elapsed_ms > 0
    assert answer == {
        "columns": [
            {"name": "n", "type": "BIGINT"},
            {"name": "t", "type": "TIMESTAMP_NS"},
            {"name": "d", "type": "DOUBLE"},
            {"name": "v", "type": "VARIANT"},
            {"name": "l", "type": "INTEGER[]"},
            {"name": "b", "type": "BLOB"},
            {"name": "nothing", "type": '"NULL"'},
            {"name": "day", "type": "DATE"},
            {"name": "e", "type": "DECIMAL(5,2)"},
            {"name": "total", "type": "HUGEINT"},
        ],
        "rows": [
            [
                1,
                "1970-01-01T00:00:00.000000001Z",
                "NaN",
                {"a": [1, None]},
                [1, 2],
                "00ff",
                None,
                "2026-01-02",
                1.5,
                3,
            ]
        ],
        "row_count": 1,
        "truncated": False,
    }


def test_sql_as_arrow_and_csv(shared: Any) -> None:
    """The Accept header chooses Arrow, with true types, or CSV."""
    query = "SELECT range AS n, make_timestamp_ns(range) AS t FROM range(3)"
    answer = sql(shared, query, accept="application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.schema.field("t").type == pa.timestamp("ns", "UTC")
    assert table["n"].to_pylist() == [0, 1, 2]
    answer = sql(shared, query, accept="text/csv")
    assert answer.text.splitlines()[:2] == ['"n","t"', '0,"1970-01-01T00:00:00.000000000Z"']


def test_limit_and_params(shared: Any) -> None:
    """A limit cuts the rows and says so; parameters may be a list or named."""
    body = {"query": "SELECT range FROM range(10) WHERE range >= $least", "params": {"least": 5}, "limit": 2}
    answer = shared.api.post("/api/sql", json=body)
    assert answer.json()["rows"] == [[5], [6]]
    assert answer.headers["x-spyhop-truncated"] == "true"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"query": "DROP TABLE spans_recent"}, 400, "refused_query"),
        ({"query": "FROM nowhere"}, 400, "invalid_input"),
        ({"query": ""}, 422, "invalid_input"),
        ({"query": "SELECT 1", "limit": -1}, 422, "invalid_input"),
        ({"sql": "SELECT 1"}, 422, "invalid_input"),
        ([], 422, "invalid_input"),
    ],
    ids=str,
)
def test_refusals(shared: Any, body: object, status: int, code: str) -> None:
    """Each refusal is `{error: {code, message, details}}` with its status."""
    answer = shared.api.post("/api/sql", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "localhost:1"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
    ids=str,
)
def test_web_pages_stay_out(shared: Any, headers: dict[str, str], status: int) -> None:
    """Foreign hosts, origins and bodies that a page may send unasked are refused; local programs are not."""
    answer = shared.api.post(
        "/api/sql", content=b'{"query": "SELECT 1"}', headers={"content-type": "application/json", **headers}
    )
    assert answer.status_code == status


def test_configured_host_is_allowed(store: Store) -> None:
    """A host named in the settings is answered."""
    app = create_app(store, settings=Settings(api_allowed_hosts=["spyhop.internal"]))
    with TestClient(app, base_url="http://spyhop.internal:4320") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
    with TestClient(app, base_url="http://other.internal") as client:
        assert client.get("/healthz").status_code == 403


def test_errors_of_any_router(store: Store) -> None:
    """Domain errors, unexpected ones and missing paths of all routers have one form."""
    router = APIRouter()
    errors = {
        "missing": (NotFound("no such anomaly"), 404, "not_found"),
        "conflict": (Conflict("already resolved"), 409, "conflict"),
        "wrong": (InvalidInput("bad", hint="do good", details={"a": 1}), 400, "invalid_input"),
        "busy": (Unavailable("draining"), 503, "unavailable"),
        "broken": (RuntimeError("secret"), 500, "internal"),
    }

    @router.get("/fail/{name}")
    def fail(name: str) -> None:
        raise errors[name][0]

    app = create_app(store, [router], settings=Settings())
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        for name, (_, status, code) in errors.items():
            answer = client.get(f"/fail/{name}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert "secret" not in answer.text
        assert client.get("/fail/wrong").json() == {
            "error": {"code": "invalid_input", "message": "bad: do good", "details": {"a": 1}}
        }
        assert client.get("/fail/busy").headers["retry-after"] == "1"
        assert client.get("/nowhere").json()["error"]["code"] == "not_found"
        assert client.put("/healthz").json()["error"]["code"] == "method_not_allowed"


def test_process_pages(running: Any, make_request: Callable[..., Any]) -> None:
    """Readiness shows backlog and newest batch; the metrics count what came, landed and was refused."""
    body = make_request(3).SerializeToString()
    bad = make_request(1, span_id=bytes(8)).SerializeToString()
    for content in (body, body, bad, b"\x00"):
        running.http.post("/v1/traces", content=content, headers={"content-type": "application/x-protobuf"})
    running.landed()
    ready = running.api.get("/readyz").json()
    assert ready["ready"] is True
    assert ready["checks"]["spool"] == {"bytes": 0, "records": 0, "max_bytes": 1 << 30, "failure": ""}
    assert ready["checks"]["landing"]["batch_id"] >= 1
    figures = dict(
        line.rsplit(" ", 1)
        for line in running.api.get("/metrics").text.splitlines()
        if not line.startswith("#")
    )
    expected = {
        'spyhop_received_total{signal="traces"}': "6.0",
        'spyhop_rejected_total{signal="traces"}': "1.0",
        'spyhop_requests_total{outcome="accepted",signal="traces"}': "3.0",
        'spyhop_requests_total{outcome="malformed",signal="traces"}': "1.0",
        'spyhop_landed_total{signal="traces"}': "3.0",
        "spyhop_duplicate_spans_total": "3.0",
        "spyhop_spool_bytes": "0.0",
    }
    assert {name: figures.get(name) for name in expected} == expected
    parts = {
        name: float(figures[f'spyhop_store_bytes{{part="{name}"}}']) for name in ("database", "hot", "lake")
    }
    assert parts == {"database": parts["database"], "hot": 0, "lake": 0}
    assert parts["database"] > 4096
    assert ready["checks"]["lake"]["database_bytes"] > 4096


@pytest.mark.parametrize("option", ["api", "otlp_http", "otlp_grpc"])
def test_port_in_use(running: Any, settings: Settings, option: str) -> None:
    """A taken port is one line that names it and the option to change it, and nothing stays open."""
    taken = running.addresses[option].removeprefix("http://")
    other = settings.model_copy(update={"data": settings.data / "other", option: taken})
    with pytest.raises(PortInUse) as caught:
        Server(other).start()
    text = str(caught.value)
    assert taken in text
    assert f"--{option.replace('_', '-')}" in text
    assert "\n" not in text
    free = Server(other.model_copy(update={option: "127.0.0.1:0"}))
    free.start()
    free.stop()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4317", Address("127.0.0.1", 4317)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:1", Address("::1", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """Host and port are read, and written back the same."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "4317", ":4317", "host:", "host:x", "host:70000", "host:-1"])
def test_wrong_addresses(text: str) -> None:
    """Texts that are no address are refused with an example."""
    with pytest.raises(InvalidInput, match=r"write HOST:PORT, e\.g\."):
        parse_address(text)


def test_reachable_url() -> None:
    """A server on all interfaces is reached over loopback."""
    assert Address("0.0.0.0", 80).url == "http://127.0.0.1:80"
    assert Address("::", 80).url == "http://[::1]:80"
