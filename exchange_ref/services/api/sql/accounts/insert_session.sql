INSERT INTO sessions (session_id, user_id, refresh_hash, created_unix_nano, until_unix_nano) VALUES (?, ?, ?, ?, ?)
