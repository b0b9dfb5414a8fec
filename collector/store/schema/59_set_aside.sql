-- Batches that a reader could not process: the reader continues without them, and they stay for inspection.
CREATE TABLE IF NOT EXISTS set_aside_batches (
    reader       VARCHAR      NOT NULL,  -- detect, learn or signals, as in detector_positions
    batch_id     BIGINT       NOT NULL,  -- landing batch: SELECT … FROM spans WHERE batch_id = …
    set_aside_at TIMESTAMP_NS NOT NULL,  -- UTC
    error        VARCHAR      NOT NULL,  -- what it failed with
    PRIMARY KEY (reader, batch_id)
);
