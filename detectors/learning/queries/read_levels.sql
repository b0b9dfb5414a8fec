-- The levels of the last day and a bit, oldest first.
SELECT
    service_name, operation, span_kind, epoch_ns(slot_time) AS slot_unix_nano,
    sample_count, failed_count, p50_ns, p90_ns, usual_p50_ns, usual_p90_ns
FROM operation_levels
WHERE slot_time >= (SELECT time_plus(max(slot_time), -26 * 3600000000000) FROM operation_levels)
ORDER BY slot_time
