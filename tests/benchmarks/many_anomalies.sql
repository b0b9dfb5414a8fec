-- $count anomalies of spans of the last two hours; one in four is of one of five open incidents.
INSERT INTO anomalies
SELECT
    left(md5('a' || span_id), 24), start_time + INTERVAL 1 SECOND, 'latency', 1 + hash(span_id, 1) % 5,
    3 + 5 * (hash(span_id, 2) % 1000) / 1000, trace_id, span_id, service_name, operation_of(span_name), span_kind,
    start_time, duration_ns, duration_ns, duration_ns / 9, 'ns', 'operation', 900, '{}', 'open',
    start_time + INTERVAL 1 SECOND,
    CASE WHEN hash(span_id, 3) % 4 = 0 THEN left(md5('i' || (hash(service_name) % 5)), 24) END
FROM spans
WHERE start_time >= (SELECT max(start_time) - INTERVAL 2 HOUR FROM spans) AND hash(span_id, 4) % 7 = 0
LIMIT $count;
INSERT INTO incidents
SELECT
    incident_id, 'latency', 'open', min(severity), any_value(operation || ' in ' || service_name) || ': slow',
    min(detected_at), max(detected_at), min(span_start_time), max(span_start_time), count(*),
    count(DISTINCT trace_id), min(trace_id), list_sort(list(DISTINCT service_name)),
    to_json([{
        'rank': 1, 'service': any_value(service_name), 'operation': any_value(operation), 'score': 0.9, 'share': 0.9,
        'kind': 'slow', 'evidence': []
    }])
FROM anomalies
WHERE incident_id IS NOT NULL
GROUP BY incident_id
