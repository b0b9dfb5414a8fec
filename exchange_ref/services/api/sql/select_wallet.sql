SELECT asset, available_units, locked_units FROM wallets WHERE user_id = ? AND asset = ?
