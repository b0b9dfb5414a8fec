-- The log lines of a case, as its spans.
SELECT * FROM logs WHERE split = 'test' AND case_id = $1
UNION ALL
SELECT *
FROM logs
WHERE
    split = 'test' AND case_id IS DISTINCT FROM $1
    AND trace_id IN (SELECT trace_id FROM case_traces WHERE case_traces.case_id = $1)
