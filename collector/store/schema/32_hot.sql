-- Parquet files of rows that landed while many came (collector/store/hot.py), of one hour each. A row of this table stands in the transaction that stores the spool position, and the view reads only
-- files that stand here; sealing moves their rows into the lake.
CREATE TABLE IF NOT EXISTS hot_files (
    path           VARCHAR PRIMARY KEY,    -- relative to the data folder
    signal         VARCHAR      NOT NULL,  -- traces or logs
    hour_start     TIMESTAMP_NS NOT NULL,  -- UTC; of every row
    first_time     TIMESTAMP_NS NOT NULL,
    last_time      TIMESTAMP_NS NOT NULL,
    first_batch_id BIGINT       NOT NULL,  -- landing batches of the rows; several in a file made of small ones
    last_batch_id  BIGINT       NOT NULL,
    row_count      BIGINT       NOT NULL,
    size_bytes     BIGINT       NOT NULL,
    expired_at     TIMESTAMP_NS            -- left the view: its rows are in the lake, or in the file that took its place
);
