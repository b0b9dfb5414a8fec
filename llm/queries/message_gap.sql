-- How long such a message usually takes: start of the producer span to start of the consumer span.
-- The median stands although the incident's own messages are among them, unless they are the majority.
SELECT median(epoch_ns(c.start_time) - epoch_ns(p.start_time)) AS gap_ns, count(*) AS sample_count
FROM spans AS c
JOIN spans AS p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
WHERE c.service_name = $consumer_service AND c.span_name = $consumer_operation AND c.span_kind = 'CONSUMER'
  AND p.service_name = $producer_service AND p.span_name = $producer_operation AND p.span_kind = 'PRODUCER'
  AND c.start_time BETWEEN make_timestamp_ns($before_unix_nano - $history_ns)
                       AND make_timestamp_ns($before_unix_nano)
  AND c.trace_id <> $trace_id;
