-- Hot files of signal $1 that one larger file should hold, for each hour: those of fewer than $2 rows, in the order of
-- their landing, until they have $3 rows together; at least $4 files, and none of $5.
WITH small AS (
    SELECT *, sum(row_count) OVER landed AS running_count
    FROM hot_files
    WHERE signal = $1 AND expired_at IS NULL AND row_count < $2 AND path NOT IN (FROM unnest($5::VARCHAR[]))
    WINDOW landed AS (PARTITION BY hour_start ORDER BY first_batch_id, path)
)
SELECT list(path ORDER BY first_batch_id, path) AS paths
FROM small
WHERE running_count <= $3
GROUP BY hour_start
HAVING count(*) >= $4
ORDER BY hour_start
