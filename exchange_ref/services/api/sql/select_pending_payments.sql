-- Withdrawals that are old enough that no request is at them any more, a page of them behind the last one.
SELECT payment_id, user_id, client_id, asset, units, fee_units
FROM payments
WHERE kind = 'WITHDRAWAL' AND status = 'PENDING' AND created_unix_nano <= ? AND payment_id > ?
ORDER BY payment_id LIMIT ?
