-- Every verdict with the explanation it speaks of, in pages: $after is the last feedback_id of the page before.
SELECT f.feedback_id, f.rating, f.verdict, f.is_adjudication, f.rater, f.correction::VARCHAR AS correction,
       epoch_ns(f.updated_at) AS updated_unix_nano,
       e.explanation_id, e.subject_kind, e.subject_id, e.group_id, e.source, e.model, e.prompt_version, e.summary,
       e.root_causes::VARCHAR AS root_causes, e.evidence::VARCHAR AS evidence,
       e.recommendations::VARCHAR AS recommendations, e.context::VARCHAR AS context
FROM feedback AS f
JOIN explanations AS e USING (explanation_id)
WHERE f.feedback_id > $after
ORDER BY f.feedback_id
LIMIT $page_rows;
