-- Another collector's listing. A path that leads out of the lake is not opened.
SELECT collector_id, path, signal, hour_start, first_time, last_time, {file_format}::SMALLINT AS file_format
FROM read_parquet({listing})
WHERE NOT starts_with(path, '/') AND NOT contains(path, '..')
