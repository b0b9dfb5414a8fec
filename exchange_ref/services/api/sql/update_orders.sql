UPDATE orders SET status = ?, filled_lots = ? WHERE order_id = ? AND filled_lots <= ?
