-- Spans of some batches that carry an amount, with the asset and side that it must be compared within.
-- Amounts are read through text: senders give them as doubles, ints or strings.
-- MATERIALIZED, since conditions on attributes would be pushed into the scan, which then reads the attributes of
-- the whole row group: 110 ms for 2,000 spans among 120,000, and 16 so.
WITH landed AS MATERIALIZED (
    SELECT
        trace_id, span_id, service_name, span_name AS operation, span_kind,
        epoch_ns(start_time) AS start_unix_nano, duration_ns, attributes,
        attributes['order.quantity']::VARCHAR AS order_quantity,
        attributes['transfer.amount']::VARCHAR AS transfer_amount
    FROM spans
    WHERE batch_id > $after AND batch_id <= $upto
), carrying AS MATERIALIZED (
    SELECT
        * EXCLUDE (attributes),
        attributes['order.pair']::VARCHAR AS order_pair,
        attributes['order.side']::VARCHAR AS order_side,
        attributes['order.price']::VARCHAR AS order_price,
        attributes['order.fill_price']::VARCHAR AS order_fill_price,
        attributes['transfer.asset']::VARCHAR AS transfer_asset
    FROM landed
    WHERE order_quantity IS NOT NULL OR transfer_amount IS NOT NULL
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
WHERE amount > 0 AND isfinite(amount) AND asset <> ''
