-- Hot files within whose times a span of `outdated` starts.
SELECT path
FROM hot_files
WHERE signal = 'traces'
  AND expired_at IS NULL
  AND EXISTS (FROM outdated WHERE outdated.start_time BETWEEN hot_files.first_time AND hot_files.last_time)
ORDER BY first_batch_id, path
