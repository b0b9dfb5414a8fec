INSERT OR REPLACE INTO arrival_rates
SELECT *, make_timestamp_ns($now) AS updated_at FROM changed_arrivals
