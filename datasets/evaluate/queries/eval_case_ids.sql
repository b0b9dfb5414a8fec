-- Every case that has a span to judge.
SELECT DISTINCT case_id FROM spans WHERE split = 'test' AND case_id IS NOT NULL
UNION
SELECT DISTINCT m.case_id FROM case_traces m SEMI JOIN spans s ON s.trace_id = m.trace_id AND s.split = 'test'
ORDER BY case_id
