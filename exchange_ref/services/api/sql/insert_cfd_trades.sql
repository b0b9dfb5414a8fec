INSERT INTO cfd_trades
    (trade_id, user_id, client_trade_id, asset, side, leverage, margin_units, entry_ticks, stop_loss_ticks,
     take_profit_ticks, status, price_ticks, profit_units, created_unix_nano)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'NEW', 0, 0, ?)
ON CONFLICT (user_id, client_trade_id) DO NOTHING
