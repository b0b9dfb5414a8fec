INSERT INTO detector_positions
SELECT unnest($readers::VARCHAR[]), unnest($batch_ids::BIGINT[]), make_timestamp_ns($now)
ON CONFLICT (reader) DO UPDATE SET batch_id = excluded.batch_id, updated_at = excluded.updated_at
