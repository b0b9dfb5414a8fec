-- One row for a stored explanation: where the span is that a correction names, as its evidence or as its traces
-- say; NULL when neither knows it. Evidence goes first: spans expire.
WITH said AS (
    SELECT explanation_id, trace_id,
           from_json(evidence, '[{"trace_id":"VARCHAR","span_id":"VARCHAR","service":"VARCHAR","operation":"VARCHAR"}]') AS facts
    FROM explanations
    WHERE explanation_id = $explanation_id
),
known AS (
    SELECT 0 AS rank, fact.service, fact.operation
    FROM (SELECT unnest(facts) AS fact FROM said)
    WHERE fact.span_id = $span_id
    UNION ALL
    SELECT 1, service_name, operation_of(span_name)
    FROM spans
    WHERE $span_id <> '' AND span_id = $span_id
      AND trace_id IN (SELECT unnest(list_append(list_transform(facts, lambda f: f.trace_id), trace_id)) FROM said)
)
SELECT k.service, k.operation
FROM said
LEFT JOIN known AS k ON true
ORDER BY k.rank
LIMIT 1;
