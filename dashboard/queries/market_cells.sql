-- The amounts that have a baseline: kind, asset and side, with the thresholds of the operation that has seen most.
SELECT
    cell,
    max(sample_count) AS sample_count,
    arg_max(p50, sample_count) AS p50,
    arg_max(p99, sample_count) AS p99,
    arg_max(sigma3, sample_count) AS sigma3
FROM amount_baselines
WHERE starts_with(cell, 'order|') OR starts_with(cell, 'transfer|')
GROUP BY cell
ORDER BY sample_count DESC, cell
LIMIT 200
