UPDATE baseline_sketches SET bucket = bucket + $buckets
WHERE measure = 'duration' AND service_name = $service AND operation = $operation AND span_kind = $kind
