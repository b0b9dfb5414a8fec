-- Files that lie wholly before $2, and the oldest ones beyond $3 bytes in all.
UPDATE lake_files SET expired_at = make_timestamp_ns($1)
WHERE expired_at IS NULL AND path IN (
    SELECT path FROM (
        SELECT
            path,
            last_time,
            sum(size_bytes) OVER (ORDER BY date_trunc('hour', last_time) DESC, path) AS bytes_from_newest
        FROM lake_files WHERE expired_at IS NULL
    )
    WHERE last_time < make_timestamp_ns($2) OR bytes_from_newest > $3
)
RETURNING path
