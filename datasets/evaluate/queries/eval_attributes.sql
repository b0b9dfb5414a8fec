-- Every attribute of some spans as text, one row each: the folder's form of detectors' incident_attributes.sql.
-- By way of VARIANT, as landed spans come, so that numbers read the same.
WITH chosen AS (
    SELECT trace_id, span_id, TRY_CAST(attributes_text AS JSON)::VARIANT::JSON AS held
    FROM wanted_spans
    WHERE attributes_text IS NOT NULL
), named AS (
    SELECT trace_id, span_id, held, unnest(json_keys(held)) AS key FROM chosen
)
SELECT
    trace_id, span_id, key,
    left(held ->> ('/' || replace(replace(key, '~', '~0'), '/', '~1')), 200) AS value
FROM named
