-- Hot files of signal $1 that one lake file should hold, for each hour that is over since $2 or has $4 settled rows:
-- whole files in the order of their landing, up to batch $3, until they have $4 rows.
WITH running AS (
    SELECT
        *,
        sum(row_count) OVER landed AS running_count,
        sum(row_count) OVER (PARTITION BY hour_start) AS hour_count
    FROM hot_files
    WHERE signal = $1 AND expired_at IS NULL AND last_batch_id <= $3
    WINDOW landed AS (PARTITION BY hour_start ORDER BY first_batch_id, path)
)
SELECT
    hour_start::TIMESTAMP AS "start",
    list(path ORDER BY first_batch_id, path) AS paths,
    list(row_count ORDER BY first_batch_id, path) AS row_counts,
    any_value(hour_count)::BIGINT AS hour_count
FROM running
WHERE running_count = row_count OR running_count <= $4
GROUP BY hour_start
HAVING hour_start < make_timestamp_ns($2) OR any_value(hour_count) >= $4
ORDER BY hour_start
