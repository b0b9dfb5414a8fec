-- One row for each log record.
CREATE TABLE IF NOT EXISTS logs_recent (
    batch_id        BIGINT       NOT NULL,  -- landing batch
    "time"          TIMESTAMP_NS NOT NULL,  -- when it happened; the observed time where the source had no clock
    observed_time   TIMESTAMP_NS NOT NULL,  -- when the pipeline saw it
    trace_id        VARCHAR,                -- NULL outside a trace
    span_id         VARCHAR,                -- NULL outside a span
    flags           UINTEGER     NOT NULL,  -- W3C trace flags
    service_name    VARCHAR      NOT NULL,  -- resource attribute service.name
    severity_number INTEGER      NOT NULL,  -- 1 to 24, 0 when the source gave none; ordered, so filters use it
    severity_text   VARCHAR      NOT NULL,  -- the source's own word
    event_name      VARCHAR      NOT NULL,  -- names an event; empty for plain logs
    body            VARIANT,                -- text mostly, but any type is allowed
    attributes      VARIANT,
    dropped_attributes_count UINTEGER NOT NULL,
    resource_attributes VARIANT,
    resource_dropped_attributes_count UINTEGER NOT NULL,
    resource_schema_url VARCHAR NOT NULL,
    scope_name      VARCHAR NOT NULL,
    scope_version   VARCHAR NOT NULL,
    scope_attributes VARIANT,
    scope_dropped_attributes_count UINTEGER NOT NULL,
    scope_schema_url VARCHAR NOT NULL
);
