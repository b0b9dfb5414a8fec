INSERT INTO detector_positions VALUES ($reader, $batch_id, make_timestamp_ns($now))
ON CONFLICT (reader) DO UPDATE SET batch_id = excluded.batch_id, updated_at = excluded.updated_at
