-- Labelled traces that have a span to judge.
SELECT l.trace_id, bool_or(l.anomalous)
FROM read_parquet($1) l
SEMI JOIN spans s ON s.trace_id = l.trace_id AND s.split = 'test'
WHERE l.anomalous IS NOT NULL
GROUP BY l.trace_id
