INSERT OR REPLACE INTO growth_floors
SELECT
    series, stretch_s, begun, number, lowest, numbers, floors, past_hours, past_growth, episode::JSON AS episode,
    make_timestamp_ns($now) AS updated_at
FROM changed_growths
