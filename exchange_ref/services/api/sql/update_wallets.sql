UPDATE wallets SET available_units = ?, locked_units = ?, version = ?
WHERE user_id = ? AND asset = ? AND version < ?
