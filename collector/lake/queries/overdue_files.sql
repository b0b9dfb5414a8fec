-- Files of the lake and hot ones, each with its table, that lie wholly before $1; and the oldest of both together beyond
-- $2 bytes.
WITH shown AS (
    SELECT 'lake_files' AS file_table, path, last_time, size_bytes FROM lake_files WHERE expired_at IS NULL
    UNION ALL BY NAME
    SELECT 'hot_files' AS file_table, path, last_time, size_bytes FROM hot_files WHERE expired_at IS NULL
)
SELECT file_table, path
FROM (SELECT *, sum(size_bytes) OVER (ORDER BY last_time DESC, path DESC) AS bytes_from_newest FROM shown)
WHERE last_time < make_timestamp_ns($1) OR bytes_from_newest > $2
