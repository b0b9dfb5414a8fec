-- The Parquet files that sealed rows have moved to. A row of this table and the deletion of the file's rows from
-- `…_recent` share a transaction, and the views read only files that stand here: a row is always visible once.
CREATE TABLE IF NOT EXISTS lake_files (
    path           VARCHAR PRIMARY KEY,    -- relative to the lake, which may move
    signal         VARCHAR      NOT NULL,  -- traces, logs, metrics
    hour_start     TIMESTAMP_NS NOT NULL,  -- UTC; the hour of every row, or, where thin hours share a file, of its first row
    first_time     TIMESTAMP_NS NOT NULL,  -- with last_time: queries of other times do not open the file
    last_time      TIMESTAMP_NS NOT NULL,
    first_batch_id BIGINT       NOT NULL,  -- with last_batch_id: nor do readers of newly landed batches
    last_batch_id  BIGINT       NOT NULL,
    row_count      BIGINT       NOT NULL,
    size_bytes     BIGINT       NOT NULL,
    sealed_at      TIMESTAMP_NS NOT NULL,
    expired_at     TIMESTAMP_NS,           -- left the views, by retention or since a compacted file has its rows;
                                           -- the file itself goes when no query can be reading it
    file_format    SMALLINT NOT NULL       -- how times stand in it: collector/store/file_columns.py
);
-- Files that are being written, committed before their first byte: what a crash leaves of them is removed, and
-- no file that is not named here or in `lake_files` is ever touched, since it may be another collector's.
CREATE TABLE IF NOT EXISTS lake_writes (
    path       VARCHAR PRIMARY KEY,
    started_at TIMESTAMP_NS NOT NULL
);
-- What the other collectors of a shared lake have published: the views `all_…` read it.
CREATE TABLE IF NOT EXISTS lake_foreign_files (
    collector_id VARCHAR      NOT NULL,
    path         VARCHAR      NOT NULL,
    signal       VARCHAR      NOT NULL,
    hour_start   TIMESTAMP_NS NOT NULL,
    first_time   TIMESTAMP_NS NOT NULL,
    last_time    TIMESTAMP_NS NOT NULL,
    file_format  SMALLINT NOT NULL         -- 1 where that collector's listing does not say
);
-- One row: names this store's files apart from those that other collectors write into the same lake.
CREATE TABLE IF NOT EXISTS lake_identity (
    collector_id VARCHAR NOT NULL,
    lake_folder  VARCHAR                   -- absolute; NULL: `lake` in the data folder, wherever that is
);
INSERT INTO lake_identity SELECT left(uuid()::VARCHAR, 8), NULL WHERE NOT EXISTS (FROM lake_identity);
