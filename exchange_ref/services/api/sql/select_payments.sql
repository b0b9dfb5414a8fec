SELECT payment_id, kind, client_id, asset, units, fee_units, status, created_unix_nano
FROM payments WHERE user_id = ? AND kind = ? ORDER BY created_unix_nano DESC, payment_id LIMIT ?
