from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.decode.columns import parse
from collector.decode.variant import encode_attributes, variant_field
from collector.signals import Signal

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=20)
)
# DuckDB's Python client cuts a key at NUL when it makes a dict; the stored key is whole (see below).
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def through_duckdb(request: ExportTraceServiceRequest) -> list[Any]:
    """The attributes of each span as DuckDB returns them from a VARIANT column."""
    scopes = parse(Signal.TRACES, [request.SerializeToString()]).column(0).flatten().field("scope_spans")
    spans = scopes.flatten().field("spans").flatten()
    column = encode_attributes(spans.field("attributes"))
    table = pa.Table.from_arrays([column], schema=pa.schema([variant_field("v")]))
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (v VARIANT)")
        con.register("decoded", table)
        con.execute("INSERT INTO t FROM decoded")
        return [row[0] for row in con.execute("FROM t").fetchall()]


def same(left: Any, right: Any) -> bool:
    """Equal in type and value, where NaN equals NaN and -0.0 differs from 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return math.copysign(1, left) == math.copysign(1, right) and (
            left == right or (math.isnan(left) and math.isnan(right))
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(keys, values, max_size=5), min_size=1, max_size=4))
def test_every_value_survives(rows: list[dict[str, Any]], any_value: Callable[[object], AnyValue]) -> None:
    """Attributes come out of a VARIANT column with their type and value, nested or not."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for row in rows:
        span = spans.add()
        for key, value in row.items():
            span.attributes.add(key=key, value=any_value(value))
    found = through_duckdb(request)
    assert len(found) == len(rows)
    for expected, actual in zip(rows, found, strict=True):
        # A NaN's sign is not a value.
        assert same(_positive_nan(expected), _positive_nan(actual)), (expected, actual)


def _positive_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return math.nan
    if isinstance(value, list):
        return [_positive_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: _positive_nan(item) for key, item in value.items()}
    return value


def test_last_of_equal_keys_wins(any_value: Callable[[object], AnyValue]) -> None:
    """A key sent twice has the value of its last occurrence, as setting an attribute twice would."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    for value in (1, "two"):
        span.attributes.add(key="k", value=any_value(value))
    assert through_duckdb(request) == [{"k": "two"}]


@pytest.mark.parametrize("count", [0, 1, 255, 256, 300])
def test_many_attributes(count: int, any_value: Callable[[object], AnyValue]) -> None:
    """The compact form for up to 255 keys and the wide one beyond it hold the same."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    expected = {f"k{number}": number for number in range(count)}
    for key, value in expected.items():
        span.attributes.add(key=key, value=any_value(value))
    assert through_duckdb(request) == [expected]


def test_nul_in_a_key_is_stored(any_value: Callable[[object], AnyValue]) -> None:
    """A key with a NUL keeps it in the database."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key="a\0b", value=any_value(1))
    scopes = parse(Signal.TRACES, [request.SerializeToString()]).column(0).flatten().field("scope_spans")
    column = encode_attributes(scopes.flatten().field("spans").flatten().field("attributes"))
    with duckdb.connect() as con:
        con.register("decoded", pa.Table.from_arrays([column], schema=pa.schema([variant_field("v")])))
        assert con.execute("SELECT variant_keys(v) FROM decoded").fetchall() == [(["a\0b"],)]
