INSERT INTO operation_levels BY NAME
SELECT * EXCLUDE (slot_unix_nano), make_timestamp_ns(slot_unix_nano) AS slot_time FROM finished_levels
