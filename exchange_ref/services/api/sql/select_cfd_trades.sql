SELECT trade_id, user_id, client_trade_id, asset, side, leverage, margin_units, entry_ticks, stop_loss_ticks,
    take_profit_ticks, status, price_ticks, profit_units
FROM cfd_trades WHERE user_id = ? ORDER BY created_unix_nano DESC, trade_id LIMIT 100
