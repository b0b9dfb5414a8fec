-- Usual times of one operation of a folder, as far as explanations read them.
INSERT INTO baselines BY NAME
SELECT service_name, operation, span_kind, 'operation' AS cell, sample_count, 0 AS flagged_count, p50_ns,
       p50_ns AS p90_ns, p50_ns AS p99_ns, p50_ns AS p999_ns, sigma3_ns, self_time_p50_ns,
       p50_ns AS tail_threshold_ns, 0.01 AS tail_share, 0.1 AS tail_shape, 0.1 AS tail_scale, 'ready' AS state,
       make_timestamp_ns(0) AS updated_at
FROM (
    SELECT service_name, operation, span_kind, count(*) AS sample_count,
           quantile_cont(duration_ns, 0.5)::DOUBLE AS p50_ns, quantile_cont(duration_ns, 0.99865)::DOUBLE AS sigma3_ns,
           quantile_cont(self_time_ns, 0.5)::DOUBLE AS self_time_p50_ns
    FROM usual_spans
    GROUP BY ALL
);
