SELECT user_id FROM addresses WHERE address = ?
