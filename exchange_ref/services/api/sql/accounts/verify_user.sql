UPDATE users SET verified = 1, code_hash = '' WHERE user_id = ?
