-- The most common first: if there are more than memory keeps, only rare ones are left out.
SELECT service_name, operation, span_kind, aspect, callee, form, sum(sample_count)::BIGINT AS sample_count
FROM span_forms
GROUP BY service_name, operation, span_kind, aspect, callee, form
HAVING sum(sample_count) > 0
ORDER BY sum(sample_count) DESC
