"""Whom a span calls, by its attributes (`schema/16_callee.sql`)."""

from __future__ import annotations

import json

import duckdb
import pytest

from collector.store.sqlfile import load_sql

SAID = [
    ({"server.address": "partner-3.example", "server.port": 443}, "partner-3.example:443"),
    ({"server.address": "127.0.0.1", "server.port": 27002}, "127.0.0.1:27002"),
    ({"server.address": "10.1.2.3", "server.port": 8080}, "*:8080"),
    ({"server.address": "10.1.2.3", "server.port": 49001}, "*"),
    ({"server.address": "fe80::1", "server.port": 8080}, "*:8080"),
    ({"net.peer.name": "cache", "net.peer.port": 6379}, "cache:6379"),
    ({"http.url": "http://127.0.0.1:27002/charge?x=1"}, "127.0.0.1:27002"),
    ({"url.full": "https://user:secret@api.partner.example/charge"}, "api.partner.example"),
    ({"peer.service": "prices", "server.address": "10.0.0.1"}, "prices"),
    ({"messaging.destination.name": "orders"}, "orders"),
    ({"messaging.destination": "orders", "net.peer.name": "broker"}, "orders"),
    ({"url.full": "/charge"}, None),
    ({"server.address": ""}, None),
    ({}, None),
]


@pytest.mark.parametrize(("attributes", "callee"), SAID, ids=[f"{i} {row[1]}" for i, row in enumerate(SAID)])
def test_callee_is_what_stays_from_one_deployment_to_the_next(attributes, callee):
    """Names and ports, no secrets of an address, and nothing where the attributes say nothing."""
    with duckdb.connect() as con:
        con.execute(load_sql("collector.store.schema", "16_callee"))
        found = con.execute(
            "SELECT callee_of('CLIENT', $a::JSON::VARIANT), callee_of('SERVER', $a::JSON::VARIANT)",
            {"a": json.dumps(attributes)},
        ).fetchall()
    assert found == [(callee, None)]
