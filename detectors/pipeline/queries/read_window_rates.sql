SELECT * EXCLUDE (updated_at) FROM window_rates WHERE measure <> 'log'
