-- Hot files of signal $1, $2 of an hour together, in the order of their landing, with the bounds of their rows.
SELECT
    list(path ORDER BY batch_id, path),
    min(batch_id),
    max(batch_id),
    min(first_time)::VARCHAR,
    max(last_time)::VARCHAR
FROM (
    SELECT *, (row_number() OVER (PARTITION BY hour_start ORDER BY batch_id, path) - 1) // $2 AS group_number
    FROM hot_files
    WHERE signal = $1 AND expired_at IS NULL
)
GROUP BY hour_start, group_number
ORDER BY hour_start, group_number
