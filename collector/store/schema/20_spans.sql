-- One row for each span, as OTLP sent it. Sealed hours leave for Parquet; the view `spans` joins both.
CREATE TABLE IF NOT EXISTS spans_recent (
    batch_id       BIGINT       NOT NULL,  -- landing batch, only grows: detection reads `batch_id > position`
    trace_id       VARCHAR      NOT NULL,  -- 32 lower-case hex digits: what people paste and logs contain
    span_id        VARCHAR      NOT NULL,  -- 16 lower-case hex digits
    parent_span_id VARCHAR,                -- NULL for a root, so that `IS NULL` finds roots
    trace_state    VARCHAR      NOT NULL,  -- W3C tracestate, kept for vendors' sampling data
    flags          UINTEGER     NOT NULL,  -- W3C trace flags and the is-remote bits
    service_name   VARCHAR      NOT NULL,  -- resource attribute service.name: every query filters by it
    span_name      VARCHAR      NOT NULL,  -- the operation; never `name`, which joins make ambiguous
    span_kind      VARCHAR      NOT NULL,  -- UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER
    start_time     TIMESTAMP_NS NOT NULL,  -- UTC; nanoseconds, because siblings start microseconds apart
    duration_ns    BIGINT       NOT NULL,  -- end - start; negative only if the sender's clock stepped back
    status_code    VARCHAR      NOT NULL,  -- UNSET, OK, ERROR
    status_message VARCHAR      NOT NULL,  -- what the sender said of the error
    attributes     VARIANT,                -- types kept; read as attributes['http.route']::VARCHAR
    dropped_attributes_count UINTEGER NOT NULL,  -- the sender's limits cut these: the row is known incomplete
    events STRUCT(
        "time"     TIMESTAMP_NS,           -- UTC
        "name"     VARCHAR,                -- e.g. `exception`
        attributes VARIANT,
        dropped_attributes_count UINTEGER
    )[] NOT NULL,
    dropped_events_count UINTEGER NOT NULL,
    links STRUCT(
        trace_id    VARCHAR,               -- the other trace, as for spans
        span_id     VARCHAR,
        trace_state VARCHAR,
        attributes  VARIANT,
        dropped_attributes_count UINTEGER,
        flags       UINTEGER
    )[] NOT NULL,
    dropped_links_count UINTEGER NOT NULL,
    resource_attributes VARIANT,           -- repeated in every row: shredding makes the repetition cheap
    resource_dropped_attributes_count UINTEGER NOT NULL,
    resource_schema_url VARCHAR NOT NULL,  -- the semantic-convention version of the resource
    scope_name    VARCHAR NOT NULL,        -- the instrumentation library
    scope_version VARCHAR NOT NULL,
    scope_attributes VARIANT,
    scope_dropped_attributes_count UINTEGER NOT NULL,
    scope_schema_url VARCHAR NOT NULL
);
