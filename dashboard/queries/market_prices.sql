-- Median fill price of each pair over time. A trace repeats its order from the client down to the engine, which leaves
-- a median as it is; orders are counted by trace.
WITH carriers AS (
    SELECT DISTINCT service_name, operation AS span_name, span_kind FROM amount_baselines WHERE starts_with(cell, 'order|')
), filled AS (
    SELECT
        attributes['order.pair']::VARCHAR AS pair,
        start_time,
        trace_id,
        TRY_CAST(attributes['order.fill_price'] AS DOUBLE) AS price
    FROM spans
    SEMI JOIN carriers USING (service_name, span_name, span_kind)
    WHERE start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
)
SELECT
    pair,
    epoch_ms(time_bucket(to_seconds($bucket_s), start_time::TIMESTAMP)) AS bucket_ms,
    approx_count_distinct(trace_id) AS order_count,
    quantile_cont(price, 0.5) AS price
FROM filled
WHERE pair IS NOT NULL
GROUP BY pair, bucket_ms
ORDER BY bucket_ms, pair
LIMIT 20000
