-- Every attribute of some spans as text, one row each: the folder's form of detectors' incident_attributes.sql.
WITH chosen AS (
    SELECT s.trace_id, s.span_id, s.attributes::JSON AS held
    FROM spans s
    SEMI JOIN wanted_spans w ON w.trace_id = s.trace_id AND w.span_id = s.span_id
    WHERE s.attributes IS NOT NULL
), named AS (
    SELECT trace_id, span_id, held, unnest(json_keys(held)) AS key FROM chosen
)
SELECT
    trace_id, span_id, key,
    left(held ->> ('/' || replace(replace(key, '~', '~0'), '/', '~1')), 200) AS value
FROM named
