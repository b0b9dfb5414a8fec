INSERT INTO second_factors (user_id, secret) VALUES (?1, ?2)
ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret WHERE second_factors.confirmed = 0
RETURNING user_id
