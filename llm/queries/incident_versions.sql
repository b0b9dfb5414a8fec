-- A version that sets the incident's traces apart from usual ones: what was deployed, as far as resources say.
SELECT key, value, share, usual_share, service_name, operation, trace_id, span_id
FROM incident_differences
WHERE incident_id = $id AND regexp_matches(key, '(^|[ .])(service\.version|deployment\.[a-z.]+|container\.image\.tags?)$')
ORDER BY rank
LIMIT 1;
