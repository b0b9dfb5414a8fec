SELECT user_id, email, verified,
    (SELECT count(*) FROM sessions WHERE sessions.user_id = users.user_id AND ended_unix_nano = 0)
FROM users WHERE email = ?1 OR user_id = ?1
