SELECT
    order_id, user_id, client_order_id, pair, side, type, price_ticks, quantity_lots, filled_lots, status,
    time_in_force, expires_unix_nano, quote_units, stop_ticks, triggered
FROM orders
WHERE order_id = ?
