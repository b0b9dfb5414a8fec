INSERT INTO operation_levels BY NAME
SELECT * EXCLUDE (slot_unix_nano), time_at(slot_unix_nano) AS slot_time FROM finished_levels
