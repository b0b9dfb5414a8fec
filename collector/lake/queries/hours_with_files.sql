-- Hours of signal $1 with several files, smallest file first; quiet: none was added since $2.
SELECT
    hour_start::TIMESTAMP AS hour_start,
    list(path ORDER BY row_count, path) AS paths,
    list(row_count ORDER BY row_count, path) AS row_counts,
    list(file_format ORDER BY row_count, path) AS file_formats,
    max(sealed_at) <= make_timestamp_ns($2) AS is_quiet
FROM lake_files
WHERE signal = $1
  AND expired_at IS NULL
  AND date_trunc('hour', last_time) <= hour_start  -- files of several thin hours are none of an hour's
GROUP BY hour_start
HAVING count(*) > 1
ORDER BY hour_start
