INSERT INTO payments (payment_id, user_id, kind, client_id, asset, units, fee_units, status, created_unix_nano)
VALUES (?, ?, ?, ?, ?, ?, ?, 'PENDING', ?)
ON CONFLICT (user_id, kind, client_id) DO NOTHING
