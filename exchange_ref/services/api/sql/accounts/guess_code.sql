UPDATE users SET guesses = guesses + 1
WHERE email = ?1 AND verified = 0 AND code_until_unix_nano > ?2 AND guesses < ?3
RETURNING user_id, code_hash
