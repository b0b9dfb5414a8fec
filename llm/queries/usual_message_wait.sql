-- How long messages to an operation waited, by buckets of a sketch: what was learned and not flagged.
SELECT bucket, sum(sample_count)::BIGINT AS sample_count
FROM baseline_sketches
WHERE
    measure = $measure AND NOT flagged
    AND service_name = $service AND operation = $operation AND span_kind = $kind
GROUP BY bucket
HAVING sum(sample_count) > 0
