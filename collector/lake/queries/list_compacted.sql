-- The file $1 of $2 bytes takes the place of the files $4, all of one signal.
INSERT INTO lake_files
SELECT
    $1,
    signal,
    min(hour_start),
    min(first_time),
    max(last_time),
    min(first_batch_id),
    max(last_batch_id),
    sum(row_count),
    $2,
    make_timestamp_ns($3),
    NULL,
    $5
FROM lake_files
WHERE path IN (FROM unnest($4::VARCHAR[]))
GROUP BY signal
