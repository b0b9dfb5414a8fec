DELETE FROM baseline_sketches
WHERE measure IN ('duration', 'self_time', 'edge') AND service_name = $service AND operation = $operation AND span_kind = $kind
