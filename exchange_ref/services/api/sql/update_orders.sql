UPDATE orders SET status = ?, filled_lots = ?, quote_units = ? WHERE order_id = ? AND filled_lots <= ?
