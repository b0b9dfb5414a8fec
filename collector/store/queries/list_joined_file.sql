-- The hot file $1 of $2 bytes takes the place of the hot files $3.
INSERT INTO hot_files
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
    NULL
FROM hot_files
WHERE path IN (FROM unnest($3::VARCHAR[]))
GROUP BY signal, hour_start
