-- Parquet files of rows that landed together while many came (collector/store/hot.py): of one hour each, in the form of
-- a lake file. A row of this table stands in the transaction that stores the spool position, and the view reads only
-- files that stand here; sealing moves their rows into the lake.
CREATE TABLE IF NOT EXISTS hot_files (
    path           VARCHAR PRIMARY KEY,    -- relative to the data folder
    signal         VARCHAR      NOT NULL,  -- traces
    hour_start     TIMESTAMP_NS NOT NULL,  -- UTC; of every row
    first_time     TIMESTAMP_NS NOT NULL,
    last_time      TIMESTAMP_NS NOT NULL,
    batch_id       BIGINT       NOT NULL,  -- landing batch of every row
    row_count      BIGINT       NOT NULL,
    size_bytes     BIGINT       NOT NULL,
    expired_at     TIMESTAMP_NS            -- left the view: its rows are in the lake, or in the file that took its place
);
