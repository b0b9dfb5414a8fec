"""Statements that read-only access must refuse, by kind."""

from __future__ import annotations

from pathlib import Path

import duckdb

from collector.sql.functions import allowed_functions

WRITES = [
    "COPY (SELECT 1 AS a) TO '{file}' (FORMAT csv)",
    "COPY spans_recent TO '{file}' (FORMAT parquet)",
    "COPY (SELECT 1 AS a, 2 AS b) TO '{folder}' (FORMAT parquet, PARTITION_BY (a), OVERWRITE)",
    "COPY landing_position FROM '{file}'",
    "COPY FROM DATABASE spyhop TO memory",
    "INSERT INTO schema_version SELECT 1, now(), 'x'",
    "UPDATE landing_position SET batch_id = 1",
    "DELETE FROM landing_position",
    "MERGE INTO landing_position USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE landing_position",
]
OTHERS = [
    "DROP TABLE spans_recent",
    "DROP VIEW spans",
    "DROP MACRO now",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW spans AS SELECT 1",
    "CREATE MACRO m(x) AS x",
    "CREATE SCHEMA s",
    "CREATE SEQUENCE s",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE INDEX i ON schema_version (version)",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "ALTER TABLE spans_recent ADD COLUMN x INT",
    "COMMENT ON TABLE spans_recent IS 'x'",
    "EXPORT DATABASE '{folder}/export'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{file}' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH spyhop",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{file}'",
    "UPDATE EXTENSIONS",
    "SET threads = 1",
    "SET GLOBAL memory_limit = '1GB'",
    "SET enable_external_access = true",
    "SET TimeZone = 'Asia/Tokyo'",
    "RESET threads",
    "SET VARIABLE x = 1",
    "PRAGMA threads = 1",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "PRAGMA profile_output = '{file}'",
    "PRAGMA import_database('{folder}')",
    "PRAGMA table_info('spans')",
    "CALL force_checkpoint()",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = '{folder}')",
    "CALL pragma_version()",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "KILL 1",
    "PIVOT spans_recent ON span_kind USING count(*)",
    "",
    ";",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE spans_recent",
    "SELECT 1) ; DROP TABLE spans_recent; --",
    "SELECT 1) TO '{file}' --",
    "SELECT 1 /*",
]
# Ways to put a write where a query may stand. DuckDB 2.0.0 runs the first of them under the type SELECT.
PLACES = [
    "{0}",
    "WITH x AS ({0}) SELECT 1",
    "WITH x AS MATERIALIZED ({0}) FROM x",
    "WITH RECURSIVE x AS ({0}) FROM x",
    "SELECT * FROM ({0})",
    "SELECT ({0})",
    "SELECT 1 WHERE EXISTS ({0})",
    "SELECT 1 UNION ALL ({0})",
    "EXPLAIN {0}",
    "EXPLAIN ANALYZE {0}",
    "EXPLAIN (ANALYZE, FORMAT json) {0}",
    "EXPLAIN ANALYZE WITH x AS ({0}) SELECT 1",
    "EXPLAIN /* ( */ ANALYZE WITH x AS ({0}) SELECT 1",
    "FROM query('{0}')",
    "DESCRIBE {0}",
    "SUMMARIZE {0}",
]
# Names behind FROM that are files, settings or other people's.
NAMES = [
    "'{file}'",
    '"{file}"',
    "'{folder}/*.parquet'",
    "'{folder}/spyhop.duckdb'",
    "'{canary}'",
    "'x.csv'",
    "'https://example.com/x.parquet'",
    "sqlite_master",
    "duckdb_settings",
    "pragma_database_list",
    "pg_catalog.pg_settings",
    "information_schema.character_sets",
    "memory.main.spans",
    "spyhop.main.nothing",
    "spyhop.pg_catalog.pg_settings",
    "system.main.duckdb_settings",
    '(WITH "{canary}" AS (SELECT 1) SELECT * FROM "{canary}")',
]
CALLS = [
    "read_text('{canary}')",
    "read_blob('{folder}/spyhop.duckdb')",
    "read_csv('{canary}', header = false)",
    "read_json('{canary}')",
    "read_parquet('{file}')",
    "\"read_text\"('{canary}')",
    "system.main.read_text('{canary}')",
    "main.read_text('{canary}')",
    "glob('{folder}/**')",
    "sniff_csv('{canary}')",
    "parquet_metadata('{file}')",
    "query('FROM spans')",
    "query_table('{canary}')",
    "query_table(['spans'])",
    "histogram('{canary}', content)",
    "histogram_values('spans', duration_ns)",
    "json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "write_log('x')",
    "duckdb_logs()",
    "duckdb_secrets(redact = false)",
    "which_secret('s3://x', 's3')",
    "duckdb_settings()",
    "duckdb_databases()",
    "duckdb_temporary_files()",
    "duckdb_external_file_cache()",
    "repeat_row(read_text('{canary}'), num_rows = 1)",
]
EXPRESSIONS = [
    "getenv('HOME')",
    "current_setting('temp_directory')",
    "getvariable('x')",
    "nextval('s')",
    "setseed(0.5)",
    "write_log('x')",
    "sleep_ms(60000)",
    "pg_sleep(60)",
    "main.now()",
    "system.main.now()",
    "txid_current()",
    "current_query()",
    "json_serialize_sql('SELECT 1')",
    "variant_bytes_to_variant('\\x00'::BLOB)",
    "st_geomfromwkb('\\x00'::BLOB)",
    "'\\x00'::GEOMETRY",
    "(SELECT content FROM read_text('{canary}'))",
    "list_transform(['{canary}'], lambda path: (SELECT content FROM read_text(path)))",
    "'{\"a\": 1}'::JSON::VARIANT",
    "json_contains('[1]'::JSON, '1')",
    "json_transform('1', repeat('[', 20000) || '\"INT\"' || repeat(']', 20000))",
    "from_json('1', CASE WHEN epoch_ms(now()) % 2 = 0 THEN '\"INT\"' ELSE '[\"INT\"]' END)",
    "make_type('INT')",
]


def refused(folder: Path, canary: Path) -> list[str]:
    """All of them, for a data folder and a file outside it whose text must not be seen."""
    words = {"file": str(folder / "spyhop.duckdb"), "folder": str(folder), "canary": str(canary)}
    return [
        *(place.replace("{0}", _filled(write, words)) for write in WRITES for place in PLACES),
        *(_filled(statement, words) for statement in OTHERS),
        *(f"SELECT * FROM {_filled(name, words)}" for name in (*NAMES, *CALLS)),
        *(f"SELECT {_filled(expression, words)}" for expression in EXPRESSIONS),
        *(f"SELECT {_filled(expression, words)} FROM landing_position" for expression in EXPRESSIONS),
        *(f"SELECT * FROM {name}()" for name in _table_functions()),
        *(f"SELECT * FROM {name}('{canary}')" for name in _table_functions()),
        *(f"CALL {name}()" for name in _table_functions()),
    ]


def _filled(statement: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        statement = statement.replace("{" + name + "}", word)
    return statement


def _table_functions() -> list[str]:
    """Every table function of this DuckDB that is not allowed, also those that nobody has read about yet."""
    rows = (
        duckdb.connect()
        .execute(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE function_type IN ('table', 'table_macro') ORDER BY 1"
        )
        .fetchall()
    )
    return [name for (name,) in rows if name.lower() not in allowed_functions().tables]


# What DuckDB 2.0.0 does not survive, or cannot be stopped in, when it computes it.
HEAVY_VALUES = [
    "(repeat('[', 10000) || repeat(']', 10000))::JSON::VARIANT",
    "[(repeat('[', 10000) || repeat(']', 10000))::JSON]::VARIANT[]",
    "json_group_structure((repeat('[', 10000) || repeat(']', 10000))::JSON)",
    "levenshtein(repeat('a', 300000), repeat('b', 300000))",
    "length(repeat('x', 2000000000))",
    "printf('%1000000000d', 1)",
    "lpad('x', 2000000000, 'y')",
    "list_resize([1], 2000000000)",
]
# The same for its parser and its binder: short texts that they multiply.
HEAVY_TEXTS = [
    "(" * 5000 + "1",
    "a" + ".a" * 20000,
    "CASE " * 18 + "1" + " WHEN 1 THEN 1 WHEN 2 THEN 2 END" * 18,
    "nullif(" * 22 + "1" + ", 7)" * 22,
    "list_transform([1], lambda x: " * 22 + "1" + ")" * 22,
    "(" * 22 + "1" + " BETWEEN 1 AND 2)::INT" * 22,
    "array_pop_back(" * 22 + "[1]" + ")" * 22,
    "(WITH a0 AS NOT MATERIALIZED (SELECT 1 AS x), "
    + ", ".join(f"a{n} AS NOT MATERIALIZED (FROM a{n - 1} UNION ALL FROM a{n - 1})" for n in range(1, 26))
    + " SELECT count(*) FROM a25)",
]
