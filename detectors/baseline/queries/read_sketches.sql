SELECT
    measure, service_name, operation, span_kind, facet, hour_of_week, flagged, bucket,
    sum(sample_count)::BIGINT AS sample_count
FROM baseline_sketches
GROUP BY ALL
HAVING sum(sample_count) > 0
