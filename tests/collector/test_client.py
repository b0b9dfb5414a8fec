from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from time import time_ns
from typing import Any

import polars as pl
import pytest

from collector.client import Client
from collector.errors import InvalidInput, NotFound, RefusedQuery, TooLarge, Unavailable


def test_rows_as_polars(shared: Any, make_request: Callable[..., Any]) -> None:
    """A query gives a Polars frame with true types; attributes are read inside the query or as JSON text."""
    request = make_request(1, attributes={"http.route": "/orders", "n": 7})
    shared.http.post(
        "/v1/traces", content=request.SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    shared.landed()
    frame = shared.client.sql(
        "SELECT start_time, duration_ns, attributes, attributes['http.route']::VARCHAR AS route,"
        " attributes['n']::BIGINT AS n, attributes['none']::VARCHAR AS missing, events"
        " FROM spans WHERE trace_id = ?",
        [trace_id],
    )
    assert frame.schema["start_time"] == pl.Datetime("ns", "UTC")
    (row,) = frame.drop("start_time").rows(named=True)
    assert row == {
        "duration_ns": 1000,
        "attributes": '{"http.route":"/orders","n":7}',
        "route": "/orders",
        "n": 7,
        "missing": None,
        "events": "[]",
    }


def test_two_statements_in_a_notebook(running: Any, make_request: Callable[..., Any]) -> None:
    """The two statements that the README gives read live data as a Polars frame."""
    request = make_request(3)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.start_time_unix_nano = time_ns()
        span.end_time_unix_nano = time_ns()
    running.http.post(
        "/v1/traces", content=request.SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    running.landed()
    readme = Path(__file__).parents[2] / "README.md"
    (block,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    block = textwrap.dedent(block)
    assert len(ast.parse(block).body) == 2
    program = f"{block}\nprint(type(spans).__module__, *spans['span_id'])"
    program = program.replace("http://127.0.0.1:4320", running.addresses["api"])
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kind, *span_ids = answer.stdout.split()
    assert kind.startswith("polars")
    assert set(span_ids) == {span.span_id.hex() for span in request.resource_spans[0].scope_spans[0].spans}


def test_nothing_is_cut_in_silence(running: Any) -> None:
    """Without a limit all rows come; more than the server sends at once is an error, with a limit a cut."""
    assert running.client.sql("FROM range(20000)").height == 20000
    with pytest.raises(TooLarge, match="more than 1000000 rows"):
        running.client.sql("FROM range(1000001)")
    frame, is_truncated = running.client.sql_page("FROM range(10)", limit=4)
    assert (frame.height, is_truncated) == (4, True)
    assert running.client.sql("FROM range(10)", limit=4).height == 4


def test_empty_result(shared: Any) -> None:
    """No rows still have columns."""
    assert shared.client.sql("SELECT span_id FROM spans WHERE false").columns == ["span_id"]


def test_errors_come_back_as_raised(shared: Any) -> None:
    """An error of the server is the same class here, with its message."""
    with pytest.raises(RefusedQuery, match="DROP is refused"):
        shared.client.sql("DROP TABLE spans_recent")
    with pytest.raises(InvalidInput, match="nowhere does not exist"):
        shared.client.sql("FROM nowhere")
    with pytest.raises(NotFound, match="nothing is served at /nowhere"):
        shared.client.get("/nowhere", limit=1, since=None)


def test_no_server() -> None:
    """Nobody at the address is said with what to do."""
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(Unavailable, match="start one with `spyhop serve`"),
    ):
        client.get("/healthz")
