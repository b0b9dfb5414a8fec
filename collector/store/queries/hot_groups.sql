-- Hot files of signal $1, $2 of an hour together, the newest first, with the bounds of their rows: for the newest rows
-- DuckDB then leaves out all files but the first.
SELECT
    list(path ORDER BY first_batch_id DESC, path),
    min(first_batch_id),
    max(last_batch_id),
    min(first_time)::VARCHAR,
    max(last_time)::VARCHAR
FROM (
    SELECT
        *,
        (row_number() OVER (PARTITION BY hour_start ORDER BY first_batch_id, path) - 1) // $2 AS group_number
    FROM hot_files
    WHERE signal = $1 AND expired_at IS NULL
)
GROUP BY hour_start, group_number
ORDER BY hour_start DESC, group_number DESC
