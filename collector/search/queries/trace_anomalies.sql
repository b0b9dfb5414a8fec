-- How unusual the given traces are: the worst of their anomalies, and their score once they have settled.
SELECT wanted.trace_id, min(anomalies.severity) AS severity, any_value(scored.anomaly_sigma) AS anomaly_sigma
FROM (SELECT unnest($trace_ids::VARCHAR[]) AS trace_id) AS wanted
LEFT JOIN anomalies ON anomalies.trace_id = wanted.trace_id
LEFT JOIN trace_scores AS scored ON scored.trace_id = wanted.trace_id
GROUP BY wanted.trace_id
