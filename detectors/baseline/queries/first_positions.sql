-- Only where a reader has no position yet.
INSERT INTO detector_positions
SELECT unnest($readers::VARCHAR[]), unnest($batch_ids::BIGINT[]), make_timestamp_ns($now)
ON CONFLICT (reader) DO NOTHING
