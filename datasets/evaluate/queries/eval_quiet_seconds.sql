-- Seconds in which a span of no case ended, of each recording.
SELECT count(DISTINCT (s.run, (s.start_unix_nano + s.duration_ns) // 1_000_000_000))
FROM spans s
WHERE s.split = 'test' AND s.case_id IS NULL AND s.trace_id NOT IN (SELECT trace_id FROM case_traces)
