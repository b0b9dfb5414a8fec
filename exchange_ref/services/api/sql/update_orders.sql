UPDATE orders SET status = ?, filled_lots = ?, quote_units = ?, triggered = CASE WHEN ? THEN 1 ELSE triggered END
WHERE order_id = ? AND filled_lots <= ?
