-- Rows that hold a path of attributes which is not typed (`typed_paths`): the same columns, each VARIANT as the
-- bytes of its Parquet encoding (metadata, then value). DuckDB gives every path of a row group a column of its
-- own, and a thousand rare ones took 1.4 GB and 20 s. The views show these rows among the others.
CREATE TABLE IF NOT EXISTS spans_packed AS
SELECT * REPLACE (
    NULL::BLOB AS attributes,
    NULL::STRUCT("time" TIMESTAMP_NS, "name" VARCHAR, attributes BLOB, dropped_attributes_count UINTEGER)[] AS events,
    NULL::STRUCT(
        trace_id VARCHAR, span_id VARCHAR, trace_state VARCHAR, attributes BLOB, dropped_attributes_count UINTEGER,
        flags UINTEGER
    )[] AS links,
    NULL::BLOB AS resource_attributes,
    NULL::BLOB AS scope_attributes
)
FROM spans_recent WITH NO DATA;
CREATE TABLE IF NOT EXISTS logs_packed AS
SELECT * REPLACE (
    NULL::BLOB AS body,
    NULL::BLOB AS attributes,
    NULL::BLOB AS resource_attributes,
    NULL::BLOB AS scope_attributes
)
FROM logs_recent WITH NO DATA;
CREATE TABLE IF NOT EXISTS metrics_packed AS
SELECT * REPLACE (
    NULL::BLOB AS metric_metadata,
    NULL::STRUCT(
        "time" TIMESTAMP_NS, value_double DOUBLE, value_int BIGINT, trace_id VARCHAR, span_id VARCHAR,
        filtered_attributes BLOB
    )[] AS exemplars,
    NULL::BLOB AS attributes,
    NULL::BLOB AS resource_attributes,
    NULL::BLOB AS scope_attributes
)
FROM metrics_recent WITH NO DATA;
-- Which paths are stored typed: bounded in number over all rows of a table (collector/store/typed_paths.py).
CREATE TABLE IF NOT EXISTS typed_paths (
    signal        VARCHAR NOT NULL,  -- traces, logs, metrics
    path          VARCHAR NOT NULL,  -- column, key, key within its value …, with U+001F between them
    last_batch_id BIGINT             -- NULL: typed; else no longer, but rows up to that batch may hold it
);
