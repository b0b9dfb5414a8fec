SELECT transfer_id, client_transfer_id, asset, units, to_address, status
FROM transfers WHERE user_id = ? ORDER BY created_unix_nano DESC, transfer_id LIMIT ?
