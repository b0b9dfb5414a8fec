UPDATE users SET failed_logins = 0, locked_until_unix_nano = 0 WHERE user_id = ?
