-- Spans of some batches that carry an order or a transfer, with the asset and side within which its amount is compared;
-- and those that call a language model (is_call), whose amounts `new_calls.sql` reads.
-- Amounts are read as text: senders give them as doubles, ints or strings.
-- All keys are read in one pass over the JSON: 0.9 µs a span; each key read by itself takes 0.4. MATERIALIZED,
-- since DuckDB pushes conditions on attributes into the scan, which then reads the attributes of the whole row
-- group: 110 ms for 2,000 spans among 120,000, and 16 ms with MATERIALIZED.
WITH landed AS MATERIALIZED (
    SELECT
        trace_id, span_id, service_name, operation_of(span_name) AS operation, span_kind,
        epoch_ns(start_time) AS start_unix_nano, duration_ns,
        json_extract_string(
            attributes::JSON,
            [
                '$."order.quantity"', '$."order.pair"', '$."order.side"', '$."order.price"', '$."order.fill_price"',
                '$."transfer.amount"', '$."transfer.asset"', '$."user.id"', '$."enduser.id"', '$."account.id"',
                '$."gen_ai.response.model"', '$."gen_ai.request.model"', '$."llm.model_name"', '$."embedding.model_name"'
            ]
        ) AS held
    FROM spans
    WHERE batch_id > $after AND batch_id <= $upto
), carrying AS (
    SELECT
        * EXCLUDE (held),
        held[1] AS order_quantity, held[2] AS order_pair, held[3] AS order_side, held[4] AS order_price,
        held[5] AS order_fill_price, held[6] AS transfer_amount, held[7] AS transfer_asset,
        coalesce(held[8], held[9], held[10], '') AS account,
        coalesce(held[11], held[12], held[13], held[14]) IS NOT NULL AS is_call
    FROM landed
    WHERE
        held[1] IS NOT NULL OR held[6] IS NOT NULL
        OR coalesce(held[11], held[12], held[13], held[14]) IS NOT NULL
), amounts AS (
    SELECT
        * EXCLUDE (order_quantity, order_side, order_price, order_fill_price, transfer_amount, transfer_asset),
        CASE WHEN order_quantity IS NULL THEN 'transfer' ELSE 'order' END AS amount_kind,
        CASE WHEN order_quantity IS NULL THEN 'transfer.amount' ELSE 'order.quantity' END AS attribute,
        TRY_CAST(coalesce(order_quantity, transfer_amount) AS DOUBLE) AS amount,
        CASE
            WHEN order_quantity IS NULL THEN transfer_asset
            ELSE regexp_extract(order_pair, '^[^-_/]+')
        END AS asset,
        CASE WHEN order_quantity IS NULL THEN '' ELSE coalesce(upper(order_side), '') END AS side,
        coalesce(TRY_CAST(order_price AS DOUBLE), 0) AS limit_price,
        coalesce(TRY_CAST(order_fill_price AS DOUBLE), 0) AS fill_price
    FROM carrying
)
SELECT *
FROM amounts
WHERE (amount > 0 AND isfinite(amount) AND asset <> '') OR is_call
