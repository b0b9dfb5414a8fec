INSERT INTO users (user_id, email, password_hash, code_hash, code_until_unix_nano, code_sent_unix_nano)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (email) DO UPDATE SET
    password_hash = excluded.password_hash, code_hash = excluded.code_hash, guesses = 0,
    code_until_unix_nano = excluded.code_until_unix_nano, code_sent_unix_nano = excluded.code_sent_unix_nano
WHERE users.verified = 0 AND users.code_sent_unix_nano <= ?7
RETURNING user_id
