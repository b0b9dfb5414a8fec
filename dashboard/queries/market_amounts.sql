-- The largest amounts of one kind and asset in a time range, one row for each trace, and how many there were in all.
-- A trace repeats its amount from the client down to the engine: the operation that has seen most of them is enough,
-- with a third of the attributes to read.
WITH carriers AS (
    SELECT service_name, operation AS span_name, span_kind
    FROM amount_baselines
    WHERE cell = $cell
    ORDER BY sample_count DESC, span_kind DESC, operation
    LIMIT 1
), carried AS (
    SELECT
        trace_id, span_id, start_time,
        CASE WHEN $kind = 'order'
            THEN TRY_CAST(attributes['order.quantity'] AS DOUBLE)
            ELSE TRY_CAST(attributes['transfer.amount'] AS DOUBLE)
        END AS amount,
        coalesce(
            attributes['user.id']::VARCHAR, attributes['enduser.id']::VARCHAR, attributes['account.id']::VARCHAR
        ) AS account
    FROM spans
    SEMI JOIN carriers USING (service_name, span_name, span_kind)
    WHERE
        start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
        AND CASE WHEN $kind = 'order'
            THEN
                regexp_extract(attributes['order.pair']::VARCHAR, '^[^-_/]+') = $asset
                AND ($side = '' OR upper(attributes['order.side']::VARCHAR) = $side)
            ELSE attributes['transfer.asset']::VARCHAR = $asset
        END
), amounts AS (
    SELECT
        trace_id,
        arg_min(span_id, start_time) AS span_id,
        epoch_ms(min(start_time)) AS at_ms,
        max(amount) AS amount,
        any_value(account) AS account
    FROM carried
    WHERE amount > 0
    GROUP BY trace_id
)
SELECT trace_id, span_id, at_ms, amount, account, count(*) OVER () AS amount_count
FROM amounts
ORDER BY amount DESC, trace_id
LIMIT $limit
