-- Rows that lack a value which every span has.
SELECT count(*)
FROM spans
WHERE
    trace_id IS NULL OR span_id IS NULL OR service_name IS NULL OR operation IS NULL
    OR start_unix_nano IS NULL OR duration_ns IS NULL OR split IS NULL
