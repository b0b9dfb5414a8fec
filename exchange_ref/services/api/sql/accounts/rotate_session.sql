UPDATE sessions SET refresh_hash = ?3
WHERE session_id = ?1 AND refresh_hash = ?2 AND ended_unix_nano = 0 AND until_unix_nano > ?4
RETURNING user_id
