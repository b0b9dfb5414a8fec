-- Judging the same span again changes nothing.
INSERT INTO held_spans
SELECT trace_id, span_id, make_timestamp_ns($now) FROM held
ON CONFLICT (trace_id, span_id) DO NOTHING
