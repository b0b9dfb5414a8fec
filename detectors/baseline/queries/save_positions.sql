-- Takes 0.7 ms; with ON CONFLICT 2.7.
UPDATE detector_positions
SET batch_id = list_extract($batch_ids::BIGINT[], list_position($readers::VARCHAR[], reader)),
    updated_at = make_timestamp_ns($now)
WHERE list_contains($readers::VARCHAR[], reader)
