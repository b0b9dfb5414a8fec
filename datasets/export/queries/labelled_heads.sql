-- Every verdict without its texts, with what its explanation's structure is made of, in pages of whole
-- explanations: those after the explanation ($at, $after), oldest first.
WITH page AS (
    SELECT explanation_id
    FROM explanations
    WHERE (epoch_ns(created_at), explanation_id) > ($at, $after)
      AND explanation_id IN (SELECT explanation_id FROM feedback_events)
    ORDER BY epoch_ns(created_at), explanation_id
    LIMIT $page_rows
)
SELECT f.feedback_id, f.revision, f.rater, f.rating, f.verdict, f.is_adjudication,
       f.correction IS NOT NULL AS is_corrected, epoch_ns(f.updated_at) AS updated_unix_nano,
       e.explanation_id, epoch_ns(e.created_at) AS explained_unix_nano, e.group_id, e.source, e.model,
       e.prompt_version, coalesce(i.severity, a.severity, 5)::INTEGER AS severity,
       (e.context->'$.facts[*].kind')::VARCHAR AS fact_kinds,
       (e.context->'$.facts[*].service')::VARCHAR AS fact_services,
       (e.context->'$.facts[*].operation')::VARCHAR AS fact_operations,
       (e.context->'$.candidates[*].service')::VARCHAR AS candidate_services,
       (e.context->'$.candidates[*].operation')::VARCHAR AS candidate_operations
FROM page
JOIN explanations AS e USING (explanation_id)
JOIN feedback AS f USING (explanation_id)
LEFT JOIN incidents AS i ON i.incident_id = e.group_id
LEFT JOIN anomalies AS a ON e.subject_kind = 'anomaly' AND a.anomaly_id = e.subject_id
ORDER BY explained_unix_nano, e.explanation_id, f.feedback_id;
