UPDATE users SET
    failed_logins = failed_logins + 1,
    locked_until_unix_nano = CASE WHEN failed_logins + 1 >= ?3 THEN ?4 ELSE 0 END
WHERE email = ?1 AND locked_until_unix_nano <= ?2
RETURNING user_id, password_hash, verified
