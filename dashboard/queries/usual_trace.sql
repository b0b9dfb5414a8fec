-- A usual trace that begins with the same operation, near in time: nothing anomalous or failed in it, and of those the one
-- whose duration is nearest to the median.
WITH begun AS (
    SELECT trace_id, duration_ns
    FROM spans
    WHERE
        service_name = $service
        AND span_name = $operation
        AND parent_span_id IS NULL
        AND status_code <> 'ERROR'
        AND trace_id <> $trace_id
        AND start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
    ORDER BY abs(epoch_ns(start_time) - $start::BIGINT)
    LIMIT 2000
), usual AS (
    SELECT trace_id, duration_ns
    FROM begun
    ANTI JOIN anomalies USING (trace_id)
    ANTI JOIN (SELECT trace_id FROM trace_scores WHERE anomaly_sigma >= 3) USING (trace_id)
)
SELECT trace_id, duration_ns, count(*) OVER () AS usual_count
FROM usual
ORDER BY abs(duration_ns - (SELECT median(duration_ns) FROM usual)), trace_id
LIMIT 1
