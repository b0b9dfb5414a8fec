-- Columns of stream/queries/new_spans.sql, and amounts of operations ($names) that are known to carry them. Read in
-- one pass: reading attributes a second time would take 0.7 µs a span. Numbers are read as numbers, since reading them
-- as text takes 0.5 µs each. Text that is a number counts as one, and a bool is 0 or 1.
SELECT
    * EXCLUDE (service_name, span_name, attributes, carries),
    CASE WHEN carries THEN service_name END AS service_name,
    CASE WHEN carries THEN operation_of(span_name) END AS operation,
    CASE WHEN carries THEN TRY_CAST(attributes['order.quantity'] AS DOUBLE) END AS order_quantity,
    CASE WHEN carries THEN attributes['order.pair']::VARCHAR END AS order_pair,
    CASE WHEN carries THEN attributes['order.side']::VARCHAR END AS order_side,
    CASE WHEN carries THEN TRY_CAST(attributes['order.price'] AS DOUBLE) END AS limit_price,
    CASE WHEN carries THEN TRY_CAST(attributes['order.fill_price'] AS DOUBLE) END AS fill_price,
    CASE WHEN carries THEN attributes['order.quantity'] IS NOT NULL END AS is_order,
    CASE
        WHEN carries AND attributes['order.quantity'] IS NULL
        THEN TRY_CAST(attributes['transfer.amount'] AS DOUBLE)
    END AS transfer_amount,
    CASE
        WHEN carries AND attributes['order.quantity'] IS NULL THEN attributes['transfer.asset']::VARCHAR
    END AS transfer_asset,
    CASE
        WHEN carries
        THEN coalesce(
            attributes['user.id']::VARCHAR, attributes['enduser.id']::VARCHAR, attributes['account.id']::VARCHAR
        )
    END AS account
FROM (SELECT *, list_contains($names::VARCHAR[], operation_of(span_name)) AS carries FROM landed_spans($after, $upto))
