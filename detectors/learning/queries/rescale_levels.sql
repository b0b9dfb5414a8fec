UPDATE operation_levels SET usual_p50_ns = usual_p50_ns * $factor, usual_p90_ns = usual_p90_ns * $factor
WHERE service_name = $service AND operation = $operation AND span_kind = $kind
