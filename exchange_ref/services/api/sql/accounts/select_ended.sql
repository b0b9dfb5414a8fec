SELECT session_id FROM sessions WHERE ended_unix_nano > ?
