UPDATE payments SET status = ? WHERE payment_id = ? AND status = 'PENDING'
