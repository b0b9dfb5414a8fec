-- Chosen verdicts with their explanations, in the order of the explanations. The times of the first
-- and the last narrow what is read: rows lie in the order of their time.
WITH chosen AS (
    SELECT unnest($feedback_ids::VARCHAR[]) AS feedback_id, unnest($revisions::INTEGER[]) AS revision
)
SELECT f.feedback_id, f.rating, f.verdict, f.is_adjudication, f.rater, f.error_tags,
       f.correction::VARCHAR AS correction, epoch_ns(f.said_at) AS updated_unix_nano,
       e.explanation_id, e.subject_kind, e.subject_id, e.group_id, e.source, e.model, e.prompt_version, e.summary,
       e.root_causes::VARCHAR AS root_causes, e.evidence::VARCHAR AS evidence,
       e.recommendations::VARCHAR AS recommendations, e.context::VARCHAR AS context
FROM chosen
JOIN feedback_events AS f USING (feedback_id, revision)
JOIN explanations AS e USING (explanation_id)
WHERE e.created_at BETWEEN make_timestamp_ns($from) AND make_timestamp_ns($until)
  AND e.explanation_id IN (SELECT unnest($explanation_ids::VARCHAR[]))
ORDER BY e.created_at, e.explanation_id;
