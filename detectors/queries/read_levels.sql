-- The levels of the last day and a bit, oldest first.
SELECT
    service_name, operation, span_kind, epoch_ns(slot_time) AS slot_unix_nano,
    sample_count, failed_count, p50_ns, p90_ns, usual_p50_ns, usual_p90_ns
FROM operation_levels
WHERE slot_time >= (SELECT max(slot_time) FROM operation_levels) - INTERVAL 26 HOURS
ORDER BY slot_time
