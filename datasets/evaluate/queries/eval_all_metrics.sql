-- Every metric point of a folder in order of time.
SELECT *
FROM metrics
WHERE unix_nano IS NOT NULL AND service_name IS NOT NULL AND metric_name IS NOT NULL
ORDER BY unix_nano, metric_name, attributes
