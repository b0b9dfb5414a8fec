-- The lake file $1 of $2 bytes takes the place of the hot files $4.
INSERT INTO lake_files
SELECT
    $1,
    signal,
    hour_start,
    min(first_time),
    max(last_time),
    min(first_batch_id),
    max(last_batch_id),
    sum(row_count),
    $2,
    make_timestamp_ns($3),
    NULL,
    $5
FROM hot_files
WHERE path IN (FROM unnest($4::VARCHAR[])) AND expired_at IS NULL
GROUP BY signal, hour_start
