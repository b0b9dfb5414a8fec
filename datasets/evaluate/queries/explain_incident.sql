-- A case as the incident that live detection would have opened: its root span as the anomaly, ranked causes.
INSERT INTO incidents BY NAME
SELECT $case_id AS incident_id, $detector AS kind, 'open' AS state, $severity AS severity, $title AS title,
       make_timestamp_ns($first) AS opened_at, make_timestamp_ns($last) AS last_seen_at,
       make_timestamp_ns($first) AS first_span_time, make_timestamp_ns($last) AS last_span_time,
       $anomaly_count AS anomaly_count, $trace_count AS trace_count, $trace_id AS exemplar_trace_id,
       [$service] AS services, $root_causes::JSON AS root_causes;
