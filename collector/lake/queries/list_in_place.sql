-- A file takes the place of the listed files $paths, all of one signal and table, and has their bounds together.
INSERT INTO {target} BY NAME
SELECT
    $path AS path,
    signal,
    min(hour_start) AS hour_start,
    min(first_time) AS first_time,
    max(last_time) AS last_time,
    min(first_batch_id) AS first_batch_id,
    max(last_batch_id) AS last_batch_id,
    sum(row_count) AS row_count,
    $size_bytes AS size_bytes{of_lake}
FROM {source}
WHERE path IN (FROM unnest($paths::VARCHAR[])) AND expired_at IS NULL
GROUP BY signal
RETURNING row_count
