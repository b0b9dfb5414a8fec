from __future__ import annotations

import duckdb
import pytest

from collector.store.sqlfile import load_sql


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        con.execute(load_sql("collector.store.schema", "17_operation"))
        yield con


@pytest.mark.parametrize(
    ("span_name", "operation"),
    [
        ("GET /users/83741/orders/7", "GET /users/{id}/orders/{id}"),
        ("GET /a/550e8400-e29b-41d4-a716-446655440000/x", "GET /a/{id}/x"),
        ("GET /p/4bf92f3577b34da6a3ce929d0e0e4736", "GET /p/{id}"),
        (
            "SELECT * FROM users WHERE id = 42 AND name = 'bob 1'",
            "SELECT * FROM users WHERE id = {id} AND name = {id}",
        ),
        ("INSERT INTO t VALUES (1, 2, 3)", "INSERT INTO t VALUES ({id}, {id}, {id})"),
        ("process order-8f3a2b", "process order-{id}"),
        ("mail to ann.lee@shop.example", "mail to {id}"),
        ("user-000123 login", "user-{id} login"),
        ("report of 2026-11-28 for 536-22-1234", "report of {id} for {id}"),
        ("GET 10.0.0.12:8080/health", "GET {id}:{id}/health"),
    ],
)
def test_ids_in_a_name_are_one_operation(con, span_name, operation):
    """A sender that writes ids into span names has operations with a history; done twice nothing changes."""
    (found,) = con.execute("SELECT operation_of($1)", [span_name]).fetchone()
    assert found == operation
    assert con.execute("SELECT operation_of($1)", [found]).fetchone() == (operation,)


@pytest.mark.parametrize(
    "span_name",
    ["GET /v2/users", "shard-12 query", "op17", "oauth2 token", "S3.PutObject", "sha256", "x86_64",
     "b2b sync", "GET /users/{user_id}", "handle", "", "facade", "don't wait"],
)  # fmt: skip
def test_names_without_ids_stay(con, span_name):
    """Numbers within words tell operations apart: versions, shards, hashes by name."""
    assert con.execute("SELECT operation_of($1)", [span_name]).fetchone() == (span_name,)
