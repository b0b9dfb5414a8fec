SELECT order_id, user_id, client_order_id, pair, side, type, price_ticks, quantity_lots, filled_lots, status
FROM orders WHERE order_id = ?
