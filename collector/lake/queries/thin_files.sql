-- Files of signal $1 with fewer than $3 rows, none added since $2, in order of time: several of them may be joined.
SELECT
    path,
    row_count,
    file_format,
    date_trunc('hour', first_time)::TIMESTAMP AS "start",
    date_trunc('hour', last_time)::TIMESTAMP AS last_hour
FROM lake_files
WHERE signal = $1 AND expired_at IS NULL AND row_count < $3 AND sealed_at <= make_timestamp_ns($2)
ORDER BY first_time, path
