SELECT
    lake.files,
    lake."rows",
    lake."bytes",
    hot.files AS hot_files,
    hot."rows" AS hot_rows,
    hot."bytes" AS hot_bytes
FROM
    (
        SELECT
            count(*) AS files,
            coalesce(sum(row_count), 0)::BIGINT AS "rows",
            coalesce(sum(size_bytes), 0)::BIGINT AS "bytes"
        FROM lake_files
        WHERE expired_at IS NULL
    ) AS lake,
    (
        SELECT
            count(*) AS files,
            coalesce(sum(row_count), 0)::BIGINT AS "rows",
            coalesce(sum(size_bytes), 0)::BIGINT AS "bytes"
        FROM hot_files
        WHERE expired_at IS NULL
    ) AS hot
