SELECT
    order_id, user_id, client_order_id, pair, side, type, price_ticks, quantity_lots, filled_lots, status,
    time_in_force, expires_unix_nano, quote_units, stop_ticks, triggered
FROM orders
WHERE user_id = ? AND status IN ('NEW', 'PARTIALLY_FILLED')
ORDER BY created_unix_nano DESC, order_id DESC
LIMIT ?
