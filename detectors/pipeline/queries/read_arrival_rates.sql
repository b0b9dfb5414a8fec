SELECT * EXCLUDE (updated_at) FROM arrival_rates
