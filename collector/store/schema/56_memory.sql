-- What detectors of metrics, of the market and of orders have learned, so that a restart begins where the last
-- run ended. Log templates stand in window_rates (measure log).
CREATE TABLE IF NOT EXISTS level_points (
    kind             VARCHAR  NOT NULL,  -- metric, market
    series           VARCHAR  NOT NULL,  -- service, metric and attributes; or pair and figure
    points           DOUBLE[] NOT NULL,  -- the newest, oldest first
    quiet_count      BIGINT   NOT NULL,  -- so many more points until a shift may be reported again
    newest_unix_nano BIGINT   NOT NULL,  -- of the newest point: what is too old is begun anew
    updated_at       TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (kind, series)
);
-- How far limits lie outside the newest fills, as sketches of natural logarithms.
CREATE TABLE IF NOT EXISTS price_distances (
    service_name VARCHAR   NOT NULL,
    operation    VARCHAR   NOT NULL,
    span_kind    VARCHAR   NOT NULL,
    order_pair   VARCHAR   NOT NULL,
    direction    VARCHAR   NOT NULL,     -- aggressive, passive
    buckets      BIGINT[]  NOT NULL,     -- as in baseline_sketches
    counts       BIGINT[]  NOT NULL,
    updated_at   TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (service_name, operation, span_kind, order_pair, direction)
);
-- How many orders met an order of the same account, or gave back what two accounts had traded.
CREATE TABLE IF NOT EXISTS crossing_rates (
    party          VARCHAR NOT NULL,     -- pair, then the accounts; control character 31 between them
    order_count    DOUBLE  NOT NULL,
    crossing_count DOUBLE  NOT NULL,
    learning       BOOLEAN NOT NULL,     -- it crossed before its pair was known
    updated_at     TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (party)
);
