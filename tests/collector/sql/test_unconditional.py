from __future__ import annotations

from collections.abc import Iterator

import pytest

from collector.errors import TooLarge
from collector.sql.query import Bounds, QueryRunner
from collector.store.store import Store

HUGE = "length(repeat(span_id, 100_000_000))"


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryRunner]:
    store = Store.open(tmp_path_factory.mktemp("unconditional") / "data")
    with QueryRunner(store, Bounds(timeout_s=10)) as runner:
        yield runner
    store.close()


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT {HUGE} FROM spans WHERE service_name = 'checkout'",
        f"SELECT {HUGE} FROM spans WHERE service_name = ?",
        f"SELECT CASE WHEN service_name = 'checkout' THEN {HUGE} END FROM spans",
        f"SELECT CASE service_name WHEN 'checkout' THEN {HUGE} ELSE 0 END FROM spans",
        f"SELECT if(service_name = 'checkout', {HUGE}, 0) FROM spans",
        f"SELECT max({HUGE}) FILTER (WHERE service_name = 'checkout') FROM spans",
        f"SELECT max({HUGE}) FROM (FROM spans WHERE service_name = 'checkout')",
        f"WITH s AS (FROM spans WHERE service_name = 'checkout') SELECT max({HUGE}) FROM s",
        f"SELECT {HUGE} FROM (FROM spans QUALIFY row_number() OVER () > 1_000_000)",
        f"EXPLAIN ANALYZE SELECT {HUGE} FROM spans WHERE service_name = 'checkout'",
    ],
)
def test_behind_a_condition(queries: QueryRunner, query: str) -> None:
    """A condition that no made-up row meets does not hide from the rehearsal what stands behind it."""
    with pytest.raises(TooLarge):
        queries.run(query, ["checkout"] if "?" in query else None, limit_rows=1)


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE r(s, n) AS (SELECT 'ab', 1 FROM landing_position"
        " UNION ALL SELECT s || s, n + 1 FROM r WHERE n < 10) SELECT max(length(s)) AS n FROM r",
        "SELECT (SELECT range FROM range(3) WHERE range = 1) + 1023 AS n FROM landing_position",
        "SELECT count(*) + 1024 AS n FROM spans a, spans b WHERE a.span_id = lpad(b.parent_span_id, 16, '0')",
        "SELECT count(*) + 1024 AS n FROM spans WHERE service_name = ? AND lpad(span_name, 9, '') = ''",
    ],
)
def test_conditions_that_bound(queries: QueryRunner, query: str) -> None:
    """A condition that ends a recursion, chooses one value or joins is no reason to refuse a query."""
    result = queries.run(query, ["checkout"] if "?" in query else None, limit_rows=1)
    assert result.table["n"].to_pylist() == [1024]
