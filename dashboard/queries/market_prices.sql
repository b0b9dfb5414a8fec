-- Median fill price of each pair over time. A trace repeats its order from the client down to the engine: of operations
-- that told as many fills of a pair lately, the first is read alone, which leaves a median as it is with a third of the
-- attributes to read. Orders are counted by trace.
WITH carriers AS (
    SELECT DISTINCT service_name, operation AS span_name, span_kind FROM amount_baselines WHERE starts_with(cell, 'order|')
), lately AS (
    SELECT attributes['order.pair']::VARCHAR AS pair, struct_pack(service_name, span_name, span_kind) AS teller,
        count(*) AS fill_count
    FROM spans
    SEMI JOIN carriers USING (service_name, span_name, span_kind)
    WHERE
        start_time >= make_timestamp_ns(greatest($since::BIGINT, $until::BIGINT - 120_000_000_000))
        AND start_time < make_timestamp_ns($until::BIGINT)
        AND attributes['order.fill_price'] IS NOT NULL
    GROUP BY ALL
), told AS (
    SELECT pair, teller FROM lately QUALIFY fill_count >= 0.8 * max(fill_count) OVER (PARTITION BY pair)
), first_of_pair AS (
    SELECT min(teller) AS teller FROM told GROUP BY pair
), tellers AS (
    SELECT DISTINCT teller.service_name, teller.span_name, teller.span_kind FROM first_of_pair
    UNION ALL
    FROM carriers WHERE NOT EXISTS (FROM first_of_pair)
), filled AS (
    SELECT
        attributes['order.pair']::VARCHAR AS pair,
        start_time,
        trace_id,
        TRY_CAST(attributes['order.fill_price'] AS DOUBLE) AS price
    FROM spans
    SEMI JOIN tellers USING (service_name, span_name, span_kind)
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
