UPDATE sessions SET ended_unix_nano = ?2
WHERE session_id = ?1 AND ended_unix_nano = 0 AND until_unix_nano > ?2
RETURNING session_id
