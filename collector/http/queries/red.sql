-- Spans that landed since, by operation, status and bucket of duration: the first holds up to 2 ms, each further one
-- twice as much.
SELECT
    service_name, span_name, span_kind, status_code,
    CASE
        WHEN duration_ns <= 2000000 THEN 0
        ELSE least($last_bucket::BIGINT, ceil(log2(duration_ns / 2e6)))::BIGINT
    END AS bucket,
    count(*) AS span_count,
    sum(greatest(duration_ns, 0)::DOUBLE) / 1e9 AS sum_s,
    arg_max(trace_id, start_time) AS trace_id,
    arg_max(greatest(duration_ns, 0), start_time) / 1e9 AS exemplar_s,
    epoch_ns(max(start_time)) / 1e9 AS exemplar_at_s
FROM spans
WHERE batch_id > $after::BIGINT AND batch_id <= $until::BIGINT
GROUP BY ALL
ORDER BY span_count DESC
