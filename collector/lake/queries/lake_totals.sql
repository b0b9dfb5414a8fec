SELECT
    count(*) AS files,
    coalesce(sum(row_count), 0)::BIGINT AS "rows",
    coalesce(sum(size_bytes), 0)::BIGINT AS "bytes"
FROM lake_files
WHERE expired_at IS NULL
