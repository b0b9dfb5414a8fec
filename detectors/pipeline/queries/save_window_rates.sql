INSERT OR REPLACE INTO window_rates
SELECT *, make_timestamp_ns($now) AS updated_at FROM changed_rates
