-- The Parquet files that sealed rows have moved to. A row of this table and the deletion of the file's rows from
-- `…_recent` share a transaction, and the views read only files that stand here: a row is always visible once.
CREATE TABLE IF NOT EXISTS lake_files (
    path           VARCHAR PRIMARY KEY,    -- relative to the data folder, which may move
    signal         VARCHAR      NOT NULL,  -- traces, logs, metrics
    hour_start     TIMESTAMP_NS NOT NULL,  -- UTC; every row's time lies in this hour
    first_time     TIMESTAMP_NS NOT NULL,  -- with last_time: queries of other times do not open the file
    last_time      TIMESTAMP_NS NOT NULL,
    first_batch_id BIGINT       NOT NULL,  -- with last_batch_id: nor do readers of newly landed batches
    last_batch_id  BIGINT       NOT NULL,
    row_count      BIGINT       NOT NULL,
    size_bytes     BIGINT       NOT NULL,
    sealed_at      TIMESTAMP_NS NOT NULL,
    expired_at     TIMESTAMP_NS            -- left the views by retention; the file goes when no query reads it
);
-- One row: names this store's files apart from those that other collectors write into the same lake.
CREATE TABLE IF NOT EXISTS lake_identity (
    collector_id VARCHAR NOT NULL
);
INSERT INTO lake_identity SELECT left(uuid()::VARCHAR, 8) WHERE NOT EXISTS (FROM lake_identity);
