-- Levels that became baselines since a moment: what was flagged of them is normal. What came before no longer
-- counts, unless the level was only added to the others.
SELECT
    service_name, operation, span_kind, way <> 'added' AS replaced,
    epoch_ns(began_at) AS began_unix_nano, epoch_ns(adopted_at) AS adopted_unix_nano
FROM baseline_versions
WHERE
    measure = 'duration' AND (way = 'replaced' OR reason = 'engineer')
    AND adopted_at >= time_at($earliest)
ORDER BY adopted_at
