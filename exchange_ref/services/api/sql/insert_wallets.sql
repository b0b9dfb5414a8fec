INSERT INTO wallets (user_id, asset, available_units, locked_units, version) VALUES (?, ?, 0, 0, 0)
ON CONFLICT DO NOTHING
