-- Hours of {table} and {packed_table} that may be sealed, and the last batch of each that one file should hold. An hour that has
-- a file already waits until $5 rows have come late, or the first of them is of batch $6 or older.
WITH rows_of_both AS (
    SELECT "{time}", batch_id FROM {table}
    UNION ALL
    SELECT "{time}", batch_id FROM {packed_table}
),
batches AS (
    SELECT date_trunc('hour', "{time}") AS hour_start, batch_id, count(*) AS row_count
    FROM rows_of_both
    WHERE "{time}" < make_timestamp_ns($2) AND batch_id <= $3
    GROUP BY ALL
),
running AS (
    SELECT *, sum(row_count) OVER (PARTITION BY hour_start ORDER BY batch_id) AS running_count FROM batches
)
SELECT
    hour_start::TIMESTAMP AS "start",
    sum(row_count)::BIGINT AS row_count,
    max(batch_id) AS last_batch_id
FROM running
WHERE running_count - row_count < $1  -- whole batches, the one that passes the limit included
GROUP BY hour_start
HAVING sum(row_count) >= $5
    OR min(batch_id) <= $6
    OR hour_start NOT IN (SELECT hour_start FROM lake_files WHERE signal = $4 AND expired_at IS NULL)
ORDER BY hour_start
