UPDATE cfd_trades SET status = ?, price_ticks = ?, profit_units = ?
WHERE trade_id = ? AND status IN ('NEW', 'OPEN')
