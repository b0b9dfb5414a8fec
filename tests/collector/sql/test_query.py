from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from collector.errors import InvalidInput, RefusedQuery, Timeout, TooLarge
from collector.sql.query import Bounds, QueryResult, QueryRunner
from collector.store.store import Store
from tests.pace import within_s


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store.open(tmp_path_factory.mktemp("queries") / "data")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def queries(store: Store) -> Iterator[QueryRunner]:
    with QueryRunner(store, Bounds(timeout_s=10)) as runner:
        yield runner


def run(
    queries: QueryRunner, query: str, params: list[object] | None = None, limit_rows: int = 100
) -> QueryResult:
    return queries.run(query, params, limit_rows=limit_rows)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS n",
        "SELECT 1 AS n; -- done ;",
        "  ; SELECT 1 AS n"[3:],
        "FROM (VALUES (1)) AS t(n)",
        "WITH x AS (SELECT 1 AS n) FROM x",
        "VALUES (1)",
        "DESCRIBE spans",
        "SHOW TABLES",
        "SUMMARIZE landing_position",
        "SUMMARIZE spans",
        "SELECT column_name, max FROM (SUMMARIZE logs)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN (ANALYZE) SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT count(*) FROM spans",
    ],
)
def test_reading_is_allowed(queries: QueryRunner, query: str) -> None:
    """Every kind of reading statement returns rows."""
    assert run(queries, query).table.num_rows > 0


WRITES = [
    "INSERT INTO spans_recent SELECT * FROM spans_recent",
    "WITH x AS (SELECT 1) INSERT INTO schema_version SELECT 1, now(), 'x' FROM x",
    "UPDATE landing_position SET batch_id = 1",
    "DELETE FROM landing_position",
    "MERGE INTO landing_position USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE landing_position",
    "DROP TABLE spans_recent",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO m(x) AS x",
    "ALTER TABLE spans_recent ADD COLUMN x INT",
    "COPY spans_recent TO 'x.csv'",
    "COPY landing_position FROM 'x.csv'",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "ATTACH 'x.duckdb' AS x",
    "DETACH spyhop",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET threads",
    "PRAGMA threads = 1",
    "PRAGMA database_list",
    "CALL force_checkpoint()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SET VARIABLE x = 1",
    "EXPLAIN ANALYZE DELETE FROM landing_position",
    "EXPLAIN (ANALYZE) DELETE FROM landing_position",
    "EXPLAIN /* ( */ ANALYZE DELETE FROM landing_position",
    "/* EXPLAIN */ EXPLAIN ANALYZE UPDATE landing_position SET batch_id = 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE spans_recent",
    "",
    "-- nothing",
    "SELECT 1) ; DROP TABLE spans_recent; --",
    "SELECT * FROM (DELETE FROM landing_position RETURNING *)",
    "SELECT * FROM query('DELETE FROM landing_position')",
]


@pytest.mark.parametrize("query", WRITES)
def test_writing_is_refused(queries: QueryRunner, query: str) -> None:
    """Whatever is not one reading statement is refused, and nothing has changed."""
    with pytest.raises(InvalidInput):
        run(queries, query)
    assert run(queries, "SELECT batch_id FROM landing_position").table["batch_id"].to_pylist() == [0]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "SELECT * FROM glob('/etc/*')",
        "FROM '/etc/passwd'",
        "FROM 'x.csv'",
        "SELECT getenv('HOME')",
        "SELECT * FROM sqlite_scan('x', 'y')",
        "FROM duckdb_secrets()",
        "FROM store",
        "SELECT count(*) FROM WRITES",
    ],
)
def test_outside_is_out_of_reach(queries: QueryRunner, query: str) -> None:
    """No file, network, environment or Python variable outside the data folder can be read."""
    with pytest.raises(InvalidInput):
        run(queries, query)


def test_row_limit(queries: QueryRunner) -> None:
    """More rows than the limit are cut, and the result says so."""
    result = run(queries, "SELECT range AS n FROM range(10) ORDER BY n DESC", limit_rows=3)
    assert (result.table["n"].to_pylist(), result.truncated) == ([9, 8, 7], True)
    assert run(queries, "FROM range(3)", limit_rows=3).truncated is False


def test_time_limit(store: Store) -> None:
    """A query without end is stopped at its limit."""
    with within_s(5), QueryRunner(store, Bounds(timeout_s=0.2)) as hurried:
        for source in ("range(1000000)", "spans_recent RIGHT JOIN range(1000000) ON true"):
            with pytest.raises(Timeout, match=r"longer than 0\.2 s"):
                run(hurried, f"SELECT count(*) FROM range(10000000000) a, {source}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM spans WHERE attributes['amount'] > 100",
        "SELECT count(*) FROM spans WHERE attributes['amount'] <= ?",
        "SELECT count(*) FROM spans WHERE attributes['amount'] BETWEEN 1 AND 3",
        "EXPLAIN ANALYZE SELECT count(*) FROM spans WHERE attributes['amount'] > 100",
    ],
)
def test_order_of_variants(queries: QueryRunner, query: str) -> None:
    """DuckDB orders VARIANT by its type first, so that 6.0 > 100: the query is refused with what to write."""
    with pytest.raises(RefusedQuery, match=r"attributes\['amount'\]::DOUBLE > 100"):
        run(queries, query, [1] if "?" in query else None)
    equal = "SELECT count(*) FROM spans WHERE attributes['amount'] = 100 AND attributes['amount']::DOUBLE > 1"
    assert run(queries, equal).table.num_rows == 1


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE t(i, v) AS (SELECT 0, 1::VARIANT FROM landing_position WHERE batch_id = 0"
        f" UNION ALL SELECT i + 1, ({'[' * 50}v{']' * 50})::VARIANT FROM t WHERE i < 400)"
        " SELECT len(v::VARCHAR) FROM t WHERE i = 400",
        "WITH RECURSIVE t(i, v) AS (SELECT 0, attributes FROM spans"
        " UNION ALL SELECT i + 1, [v] FROM t WHERE i < 400) SELECT v::VARCHAR FROM t",
        "SELECT list_reduce([1::VARIANT, 2::VARIANT], lambda a, b: [a, b]::VARIANT)",
        "SELECT list_reduce([1::VARIANT, 2::VARIANT], lambda a, b: {'a': a}::VARIANT) FROM landing_position",
        "SELECT attributes FROM spans UNION ALL SELECT [attributes] FROM spans",
        "EXPLAIN ANALYZE SELECT [attributes]::VARIANT FROM spans",
    ],
)
def test_depth_of_variants(queries: QueryRunner, query: str) -> None:
    """No query makes a VARIANT of another one, deeper each time: showing 20,000 levels ends the process."""
    with pytest.raises(RefusedQuery, match="deep values would end the server"):
        run(queries, query)


@pytest.mark.parametrize("table", ["range(1)", "landing_position"], ids=["in the child", "in the server"])
def test_late_errors(queries: QueryRunner, table: str) -> None:
    """Errors after the first rows have the same form as errors before them."""
    late = "CASE WHEN n = 150000 THEN error('too late') ELSE n END"
    with pytest.raises(InvalidInput, match="too late"):
        run(queries, f"SELECT {late} AS n FROM {table}, range(200000) r(n)", limit_rows=1_000_000)


def test_memory_while_it_is_planned(queries: QueryRunner) -> None:
    """A constant that takes more memory than there is says so; the next query has a process with memory."""
    with pytest.raises(TooLarge, match="memory"):
        run(queries, "SELECT length(repeat('x', 800000000)) AS n")
    assert run(queries, "SELECT 1 AS n").table["n"].to_pylist() == [1]


def test_late_time_limit(store: Store) -> None:
    """The time limit ends a result whose rows come and come."""
    with QueryRunner(store, Bounds(timeout_s=0.5)) as hurried:
        for table in ("range(1)", "landing_position"):
            endless = f"FROM {table}, range(1_000_000_000_000) r(n) WHERE hash(n) % 50 = 0"
            with pytest.raises(Timeout):
                run(hurried, f"SELECT md5(n::VARCHAR) AS m {endless}", limit_rows=10**9)


def test_parameters_and_types(queries: QueryRunner) -> None:
    """Parameters are bound, sums are int64, times are UTC and VARIANT is JSON text."""
    result = run(
        queries,
        "SELECT sum(x) AS total, make_timestamp_ns(1) AS t, ({'a': 1, 'b': 'c'}::VARIANT) AS v, ?::INT AS p"
        " FROM range(3) r(x)",
        [5],
    )
    assert result.types == ["HUGEINT", "TIMESTAMP_NS", "VARIANT", "INTEGER"]
    assert result.table.schema.field("t").type == pa.timestamp("ns", "UTC")
    assert result.table["total"].to_pylist() == [3]
    assert result.table["v"].to_pylist() == ['{"a":1,"b":"c"}']
    assert result.table["p"].to_pylist() == [5]


def test_sql_mistakes_are_explained(queries: QueryRunner) -> None:
    """DuckDB's message, with its suggestion, reaches the caller."""
    with pytest.raises(InvalidInput, match="span does not exist"):
        run(queries, "SELECT * FROM span")
    with pytest.raises(InvalidInput, match="does not parse"):
        run(queries, "SELEC 1")
    with pytest.raises(InvalidInput):
        run(queries, "SELECT ?")


@pytest.mark.parametrize("source", ["", " FROM landing_position"])
def test_json_arrows_on_attributes_are_explained(queries: QueryRunner, source: str) -> None:
    """Who reads an attribute as if it were JSON is told how it is read."""
    with pytest.raises(InvalidInput, match=r"attributes\['http.route'\]::VARCHAR"):
        queries.run(f"SELECT {{'a': 'x'}}::VARIANT ->> 'a'{source}", limit_rows=1)


@pytest.mark.parametrize("text", ["SELECT 1,\n  2\nFORM spans", "SELECT 1,\n  2,\n  spanname FROM spans"])
def test_errors_name_the_line(queries: QueryRunner, text: str) -> None:
    """An error of a statement of several lines says in which it is."""
    with pytest.raises(InvalidInput, match=r"\(line 3\)"):
        queries.run(text, limit_rows=1)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT sum(attributes['amount']) FROM spans",
        "SELECT avg(amount) FROM (SELECT attributes['amount'] AS amount FROM spans)",
        "SELECT attributes['amount'] * 2 FROM spans",
        "SELECT sum(attributes['amount']) OVER (ORDER BY start_time) FROM spans",
        "SELECT median(attributes['amount']) FROM spans",
        "SELECT quantile_cont(attributes['amount'], 0.99) FROM spans",
        "SELECT max(attributes['amount']), min(attributes['amount']) FROM spans",
        "SELECT arg_max(trace_id, attributes['amount']) FROM spans",
        "SELECT greatest(attributes['amount'], 1) FROM spans",
    ],
)
def test_figures_of_variants(queries: QueryRunner, query: str) -> None:
    """DuckDB rounds a VARIANT before it adds it up, and orders it by type: refused, with what to write."""
    with pytest.raises(RefusedQuery, match=r"attributes\['amount'\]::DOUBLE"):
        run(queries, query)


def test_figures_of_cast_variants(queries: QueryRunner) -> None:
    """With the type said, whole numbers or not, figures are computed."""
    for kind in ("DOUBLE", "BIGINT"):
        amounts = "(SELECT (n * 0.5)::DOUBLE::VARIANT AS v FROM range(5) t(n))"
        query = f"SELECT sum(v::{kind}), max(CAST(v AS {kind})), median(TRY_CAST(v AS {kind})) FROM {amounts}"
        (row,) = run(queries, query).table.to_pylist()
        assert list(row.values()) == ([5.0, 2.0, 1.0] if kind == "DOUBLE" else [5, 2, 1.0])
    distinct = "SELECT count(DISTINCT v) AS n FROM (SELECT (n % 2)::VARIANT AS v FROM range(5) t(n))"
    assert run(queries, distinct).table["n"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("query", "instead"),
    [
        ("SELECT attributes.http.route FROM spans", r"attributes\['http.route'\]"),
        ("SELECT uniq(trace_id) FROM spans", r"count\(DISTINCT x\)"),
        ("SELECT toStartOfHour(start_time) FROM spans", "date_trunc"),
        ("SELECT quantile(0.99)(duration_ns) FROM spans", "quantile_cont"),
        ("SELECT quantilecont(duration_ns, 0.9) FROM spans", "did you mean quantile_cont"),
        ("SELECT end_time FROM spans", r"time_plus\(start_time, duration_ns\)"),
        ("SELECT start_time + duration_ns FROM spans", r"time_plus\(start_time, duration_ns\)"),
        ('SELECT * FROM spans WHERE service_name = "checkout"', "single quotes: 'checkout'"),
        ("SELECT TOP 10 * FROM spans", "LIMIT 10"),
        ("SELECT date_add(now(), INTERVAL -1 HOUR)", "- INTERVAL 1 HOUR"),
        ("SELECT 1 WHERE 'yesterday'::BIGINT > 1", "2026-11-29 10:00"),
        ("SELECT count(*) FROM spans WHERE duration_ns > INTERVAL '1 s'", "nanoseconds"),
        ("SELECT * FROM pg_catalog.pg_tables", "information_schema.tables"),
        ("SELECT length(v) FROM (SELECT 'abc'::VARIANT AS v)", "body::VARCHAR"),
        ("SELECT 'plain' ->> 'key'", "no JSON"),
        ("SELECT count(*) FROM spans WHERE start_time > 1795948800", "to_timestamp"),
        ("SET TimeZone = 'Europe/Berlin'", "AT TIME ZONE 'UTC'"),
        ("PRAGMA table_info('spans')", "DESCRIBE spans"),
    ],
)
def test_habits_of_other_databases(queries: QueryRunner, query: str, instead: str) -> None:
    """Who writes it as another database has it is told what to write here."""
    with pytest.raises(InvalidInput, match=instead):
        run(queries, query)


def test_the_store_by_its_name(queries: QueryRunner) -> None:
    """What SHOW ALL TABLES names as the database can stand before a table, and says who it is."""
    query = "SELECT current_database() AS d, count(*) AS n FROM spyhop.main.spans, spyhop.landing_position"
    assert run(queries, query).table.to_pylist() == [{"d": "spyhop", "n": 0}]
    assert run(queries, "SELECT current_database() AS d").table["d"].to_pylist() == ["spyhop"]


def test_times_from_seconds(queries: QueryRunner) -> None:
    """`to_timestamp` has no zone, as stored times have none; nanoseconds can be added to them."""
    query = "SELECT count(*) FROM spans WHERE time_plus(start_time, duration_ns) > to_timestamp(1790000000)"
    assert run(queries, query).table.num_rows == 1
