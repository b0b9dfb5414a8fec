INSERT OR REPLACE INTO level_points
SELECT kind, series, points, quiet_count, newest_unix_nano, make_timestamp_ns($now) AS updated_at
FROM changed_levels
