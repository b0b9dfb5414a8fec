-- The usual median of an operation by hour of the week, where enough was seen in that hour.
SELECT
    split_part(cell, ':', 2)::INTEGER AS hour_of_week,
    p50_ns, p99_ns, sample_count, flagged_count, state
FROM baselines
WHERE service_name = $service AND operation = $operation AND span_kind = $kind AND starts_with(cell, 'hour_of_week:')
ORDER BY hour_of_week
LIMIT 168
