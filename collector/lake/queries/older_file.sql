-- The newest file of an older format than $1, with $2 rows at most; none where there is none.
SELECT
    signal,
    path,
    row_count,
    file_format,
    date_trunc('hour', first_time)::TIMESTAMP AS "start",
    date_trunc('hour', last_time)::TIMESTAMP AS last_hour
FROM lake_files
WHERE expired_at IS NULL AND file_format < $1 AND row_count <= $2 AND sealed_at <= make_timestamp_ns($3)
ORDER BY last_time DESC, path
LIMIT 1
