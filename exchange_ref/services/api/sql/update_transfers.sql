UPDATE transfers SET status = ? WHERE transfer_id = ?
