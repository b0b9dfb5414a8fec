UPDATE orders SET status = ?, filled_lots = ?, quote_units = ?, triggered = MAX(triggered, ?)
WHERE order_id = ? AND filled_lots <= ?
