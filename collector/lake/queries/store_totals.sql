WITH held AS (
    SELECT false AS is_hot, row_count, size_bytes FROM lake_files WHERE expired_at IS NULL
    UNION ALL
    SELECT true AS is_hot, row_count, size_bytes FROM hot_files WHERE expired_at IS NULL
)
SELECT
    count(*) FILTER (NOT is_hot) AS files,
    coalesce(sum(row_count) FILTER (NOT is_hot), 0)::BIGINT AS "rows",
    coalesce(sum(size_bytes) FILTER (NOT is_hot), 0)::BIGINT AS "bytes",
    count(*) FILTER (is_hot) AS hot_files,
    coalesce(sum(row_count) FILTER (is_hot), 0)::BIGINT AS hot_rows,
    coalesce(sum(size_bytes) FILTER (is_hot), 0)::BIGINT AS hot_bytes
FROM held
