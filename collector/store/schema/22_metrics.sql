-- One row for each metric data point, all five kinds in one table: the columns of other kinds are NULL.
CREATE TABLE IF NOT EXISTS metrics_recent (
    batch_id           BIGINT       NOT NULL,  -- landing batch
    service_name       VARCHAR      NOT NULL,  -- resource attribute service.name
    metric_name        VARCHAR      NOT NULL,
    metric_description VARCHAR      NOT NULL,
    metric_unit        VARCHAR      NOT NULL,  -- UCUM, e.g. `ms`, `By`
    metric_kind        VARCHAR      NOT NULL,  -- gauge, sum, histogram, exponential_histogram, summary
    metric_metadata    VARIANT,
    temporality        VARCHAR,                -- UNSPECIFIED, DELTA, CUMULATIVE; NULL where it has no meaning
    is_monotonic       BOOLEAN,                -- only sums
    start_time         TIMESTAMP_NS,           -- start of a cumulative series; NULL when not sent
    "time"             TIMESTAMP_NS NOT NULL,  -- UTC
    value_double       DOUBLE,                 -- gauge and sum; the member that was sent, so no int loses digits
    value_int          BIGINT,
    "count"            UBIGINT,                -- histograms and summaries
    "sum"              DOUBLE,
    "min"              DOUBLE,
    "max"              DOUBLE,
    bucket_counts      UBIGINT[],              -- explicit histogram: one more than bounds
    explicit_bounds    DOUBLE[],
    exponential STRUCT(                        -- exponential histogram
        scale INTEGER, zero_count UBIGINT, zero_threshold DOUBLE,
        positive_offset INTEGER, positive_counts UBIGINT[],
        negative_offset INTEGER, negative_counts UBIGINT[]
    ),
    quantiles STRUCT(quantile DOUBLE, "value" DOUBLE)[],  -- summary
    exemplars STRUCT(                          -- the way from a figure to a trace
        "time" TIMESTAMP_NS, value_double DOUBLE, value_int BIGINT,
        trace_id VARCHAR, span_id VARCHAR, filtered_attributes VARIANT
    )[],
    flags              UINTEGER NOT NULL,      -- bit 0: no recorded value
    attributes         VARIANT,
    resource_attributes VARIANT,
    resource_dropped_attributes_count UINTEGER NOT NULL,
    resource_schema_url VARCHAR NOT NULL,
    scope_name         VARCHAR NOT NULL,
    scope_version      VARCHAR NOT NULL,
    scope_attributes   VARIANT,
    scope_dropped_attributes_count UINTEGER NOT NULL,
    scope_schema_url   VARCHAR NOT NULL
);
