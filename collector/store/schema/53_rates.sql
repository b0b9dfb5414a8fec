-- What window detectors have learned, so that a restart continues where the last run ended. Only finished seconds
-- without a finding are learned.
CREATE TABLE IF NOT EXISTS window_rates (
    measure           VARCHAR NOT NULL,  -- error; path, calls, missing: of a call; log: lines of a template
    service_name      VARCHAR NOT NULL,
    operation         VARCHAR NOT NULL,  -- span_name, of the caller for calls; empty for log
    span_kind         VARCHAR NOT NULL,
    callee_service    VARCHAR NOT NULL,  -- of calls; else empty
    callee_operation  VARCHAR NOT NULL,  -- or the log template
    callee_kind       VARCHAR NOT NULL,
    trial_count       DOUBLE  NOT NULL,  -- chances: spans, parents, log lines; halved when very large
    hit_count         DOUBLE  NOT NULL,  -- how many of them failed, called, called too often, missed the call
    call_counts       BIGINT[],          -- measure calls: parents by how often they made the call, from 0
    updated_at        TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (measure, service_name, operation, span_kind, callee_service, callee_operation, callee_kind)
);
-- How many spans begin in ten seconds.
CREATE TABLE IF NOT EXISTS arrival_rates (
    service_name VARCHAR  NOT NULL,
    operation    VARCHAR  NOT NULL,
    span_kind    VARCHAR  NOT NULL,
    hour_of_week SMALLINT NOT NULL,      -- 0 = Monday 00:00 UTC … 167
    bucket_count DOUBLE   NOT NULL,      -- stretches of ten seconds that were seen whole
    span_count   DOUBLE   NOT NULL,      -- in all of them
    square_sum   DOUBLE   NOT NULL,      -- sum of the squares of their counts: how much they wander
    updated_at   TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (service_name, operation, span_kind, hour_of_week)
);
