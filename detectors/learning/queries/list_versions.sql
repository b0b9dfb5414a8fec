-- Changes of baselines that were more than learning, newest first.
-- `%n` stands last in each format: DuckDB 2.0 writes what follows it over its last three digits.
SELECT
    version_id, strftime(adopted_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS adopted_at,
    service_name, operation, span_kind, measure, reason, way,
    strftime(began_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS began_at,
    from_value, to_value, from_p90, to_p90, sample_count, evidence::VARCHAR AS evidence
FROM baseline_versions v
WHERE ($service IS NULL OR service_name = $service) AND ($operation IS NULL OR operation = $operation)
ORDER BY v.adopted_at DESC, version_id
LIMIT $limit
