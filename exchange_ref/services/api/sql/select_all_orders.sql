SELECT
    order_id, user_id, client_order_id, pair, side, type, price_ticks, quantity_lots, filled_lots, status,
    time_in_force, expires_unix_nano, quote_units, stop_ticks, triggered
FROM orders
WHERE user_id = ?1
    AND (CAST(?2 AS TEXT) IS NULL OR (created_unix_nano, order_id) < (SELECT created_unix_nano, order_id FROM orders WHERE order_id = ?2))
ORDER BY created_unix_nano DESC, order_id DESC
LIMIT ?3
