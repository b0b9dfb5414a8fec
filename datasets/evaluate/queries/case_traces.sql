-- The traces of an explanation: for an incident those of its anomalies, else its own.
SELECT DISTINCT trace_id
FROM (
    SELECT trace_id FROM anomalies WHERE incident_id = $group_id
    UNION ALL
    SELECT trace_id FROM explanations WHERE explanation_id = $explanation_id AND trace_id IS NOT NULL
    UNION ALL
    SELECT trace_id FROM anomalies WHERE $kind = 'anomaly' AND anomaly_id = $id
)
ORDER BY trace_id
LIMIT $limit
