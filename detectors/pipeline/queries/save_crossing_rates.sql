INSERT OR REPLACE INTO crossing_rates
SELECT party, order_count, crossing_count, learning, make_timestamp_ns($now) AS updated_at
FROM changed_crossings
