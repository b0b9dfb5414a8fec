-- The lake's tables as version 2 made them, so that the steps after it find them in older files too.
CREATE TABLE IF NOT EXISTS lake_files (
    path           VARCHAR PRIMARY KEY,
    signal         VARCHAR      NOT NULL,
    hour_start     TIMESTAMP_NS NOT NULL,
    first_time     TIMESTAMP_NS NOT NULL,
    last_time      TIMESTAMP_NS NOT NULL,
    first_batch_id BIGINT       NOT NULL,
    last_batch_id  BIGINT       NOT NULL,
    row_count      BIGINT       NOT NULL,
    size_bytes     BIGINT       NOT NULL,
    sealed_at      TIMESTAMP_NS NOT NULL,
    expired_at     TIMESTAMP_NS
);
CREATE TABLE IF NOT EXISTS lake_identity (
    collector_id VARCHAR NOT NULL
);
