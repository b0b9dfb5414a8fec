INSERT INTO decisions (subject_kind, subject_id, state, said_by, said_at)
VALUES ($subject_kind, $subject_id, $state, $said_by, make_timestamp_ns($now))
