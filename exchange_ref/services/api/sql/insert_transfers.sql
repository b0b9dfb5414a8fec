INSERT INTO transfers (transfer_id, user_id, client_transfer_id, to_address, asset, units, status, created_unix_nano)
VALUES (?, ?, ?, ?, ?, ?, 'NEW', ?)
ON CONFLICT (user_id, client_transfer_id) DO NOTHING
