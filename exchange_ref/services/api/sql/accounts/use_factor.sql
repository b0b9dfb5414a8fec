UPDATE second_factors SET confirmed = 1, last_step = ?2 WHERE user_id = ?1 AND last_step < ?2 RETURNING user_id
