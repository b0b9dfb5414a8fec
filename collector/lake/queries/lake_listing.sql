-- The files that hold this collector's rows now, for every reader of the lake.
SELECT
    collector_id,
    path,
    signal,
    hour_start,
    first_time,
    last_time,
    row_count,
    size_bytes,
    sealed_at,
    file_format
FROM lake_files, lake_identity
WHERE expired_at IS NULL
ORDER BY signal, hour_start, path
