INSERT INTO anomalies BY NAME
SELECT $anomaly_id AS anomaly_id, make_timestamp_ns($at) AS detected_at, $detector AS detector,
       $severity AS severity, $sigma::DOUBLE AS sigma, $trace_id AS trace_id, $span_id AS span_id,
       $service AS service_name, $operation AS operation, $span_kind AS span_kind,
       make_timestamp_ns($at) AS span_start_time, $duration_ns AS span_duration_ns, $observed::DOUBLE AS observed,
       $expected::DOUBLE AS expected, $unit AS unit, 'operation' AS cell, $sample_count AS sample_count,
       json_object('text', $text) AS details, 'open' AS state, make_timestamp_ns($at) AS state_changed_at,
       $case_id AS incident_id;
