INSERT OR REPLACE INTO set_aside_batches BY NAME
SELECT $reader AS reader, $batch_id AS batch_id, make_timestamp_ns($now) AS set_aside_at, $error AS error
