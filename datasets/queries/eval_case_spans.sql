-- The spans of a case: those that name it, and the traces that belong to it besides.
SELECT * EXCLUDE (attributes) FROM spans WHERE split = 'test' AND case_id = $1
UNION ALL
SELECT * EXCLUDE (attributes)
FROM spans
WHERE
    split = 'test' AND case_id IS DISTINCT FROM $1
    AND trace_id IN (SELECT trace_id FROM case_traces WHERE case_traces.case_id = $1)
