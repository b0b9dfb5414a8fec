-- Explanations of other incidents that engineers judged, with the word that counts: an adjudication, else the newest
-- correction, else the newest word, and none where reviewers disagree. Those of the same structure first, then the
-- newest.
WITH words AS (
    SELECT *, count(DISTINCT verdict) OVER of_one > 1 AND NOT bool_or(is_adjudication) OVER of_one
              AND count(correction) OVER of_one = 0 AS is_open
    FROM feedback
    WINDOW of_one AS (PARTITION BY explanation_id)
    QUALIFY row_number() OVER (
        PARTITION BY explanation_id
        ORDER BY is_adjudication DESC, correction IS NOT NULL DESC, updated_at DESC, feedback_id) = 1
)
SELECT e.explanation_id, e.subject_kind, e.subject_id, e.group_id, e.summary, e.root_causes::VARCHAR AS root_causes,
       w.verdict, w.rater, w.correction::VARCHAR AS correction, epoch_ns(w.updated_at) AS said_unix_nano,
       coalesce(c.fingerprint = $fingerprint, false) AS is_same
FROM words AS w
JOIN explanations AS e USING (explanation_id)
LEFT JOIN explanation_context AS c USING (explanation_id)
WHERE NOT w.is_open AND e.group_id <> $group_id AND (w.verdict = 'right' OR w.correction IS NOT NULL)
ORDER BY is_same DESC, said_unix_nano DESC, e.explanation_id
LIMIT $limit;
