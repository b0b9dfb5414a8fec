DELETE FROM operation_levels
WHERE service_name = $service AND operation = $operation AND span_kind = $kind
