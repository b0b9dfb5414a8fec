-- The newest explanation of a subject.
SELECT * REPLACE (epoch_ns(created_at) AS created_at, root_causes::VARCHAR AS root_causes,
                  evidence::VARCHAR AS evidence, recommendations::VARCHAR AS recommendations,
                  context::VARCHAR AS context),
       EXISTS (FROM feedback AS f WHERE f.explanation_id = e.explanation_id) AS rated,
       coalesce(c.basis, '') AS basis, coalesce(c.fallback_reason, '') AS fallback_reason,
       coalesce(c.sentences, '[]')::VARCHAR AS sentences, x.propagation::VARCHAR AS propagation,
       coalesce(x.past, '[]')::VARCHAR AS past
FROM explanations AS e
LEFT JOIN explanation_checks AS c USING (explanation_id)
LEFT JOIN explanation_context AS x USING (explanation_id)
WHERE subject_kind = $kind AND subject_id = $id
ORDER BY created_at DESC, explanation_id DESC
LIMIT 1;
