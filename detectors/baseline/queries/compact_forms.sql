CREATE OR REPLACE TEMP TABLE compacted_forms AS
SELECT service_name, operation, span_kind, aspect, callee, form, sum(sample_count)::BIGINT AS sample_count
FROM span_forms
GROUP BY ALL
HAVING sum(sample_count) > 0;
DELETE FROM span_forms;
INSERT INTO span_forms FROM compacted_forms;
DROP TABLE compacted_forms
