-- Where and when the anomalies of an incident are, by operation: what lies in other traces is another fault.
SELECT service_name, operation, count(*) AS anomaly_count, count(DISTINCT trace_id) AS trace_count,
       epoch_ns(min(span_start_time)) AS first_unix_nano, epoch_ns(max(span_start_time)) AS last_unix_nano,
       list(DISTINCT trace_id ORDER BY trace_id)[:2000] AS trace_ids
FROM anomalies
WHERE incident_id = $id
GROUP BY ALL
ORDER BY anomaly_count DESC, service_name, operation
LIMIT 50;
