INSERT INTO orders (
    order_id, user_id, client_order_id, pair, side, type, price_ticks, quantity_lots, status, created_unix_nano,
    time_in_force, expires_unix_nano, stop_ticks
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'NEW', ?, ?, ?, ?)
ON CONFLICT (user_id, client_order_id) DO NOTHING
