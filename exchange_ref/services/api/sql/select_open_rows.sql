SELECT order_id FROM orders WHERE status IN ('NEW', 'PARTIALLY_FILLED')
UNION ALL
SELECT transfer_id FROM transfers WHERE status = 'NEW'
