-- What to review next, the most telling first. Three parts of equal weight, each in [0, 1]: reviewers disagree;
-- code was unsure (1 - confidence; no less than half where a model's text was not borne out); how severe it is.
-- An explanation leaves the queue when it is adjudicated, or when two reviewers agree.
WITH reviews AS (
    SELECT explanation_id,
           count(*) FILTER (NOT is_adjudication) AS review_count,
           count(DISTINCT verdict) FILTER (NOT is_adjudication) > 1
           OR count(DISTINCT correction->>'root_service') FILTER (NOT is_adjudication) > 1 AS is_disagreed,
           bool_or(is_adjudication) AS is_adjudicated,
           list(rater ORDER BY rater) AS raters,
           list(DISTINCT verdict ORDER BY verdict) AS verdicts
    FROM feedback
    GROUP BY explanation_id
),
candidates AS (
    SELECT e.explanation_id, e.subject_kind, e.subject_id, e.trace_id, epoch_ns(e.created_at) AS created_unix_nano,
           e.source, e.confidence, e.summary,
           coalesce(i.title, '') AS title,
           coalesce(i.severity, a.severity, 5) AS severity,
           coalesce(c.fallback_reason, '') AS fallback_reason,
           coalesce(r.review_count, 0) AS review_count,
           coalesce(r.is_disagreed, false) AS is_disagreed,
           coalesce(r.raters, []) AS raters,
           coalesce(r.verdicts, []) AS verdicts
    FROM explanations AS e
    LEFT JOIN reviews AS r USING (explanation_id)
    LEFT JOIN explanation_checks AS c USING (explanation_id)
    LEFT JOIN incidents AS i ON e.subject_kind = 'incident' AND i.incident_id = e.subject_id
    LEFT JOIN anomalies AS a ON e.subject_kind = 'anomaly' AND a.anomaly_id = e.subject_id
    WHERE NOT coalesce(r.is_adjudicated, false)
    -- Of a subject that was explained anew only the newest is reviewed, unless somebody judged an earlier one.
    QUALIFY r.explanation_id IS NOT NULL
        OR row_number() OVER (PARTITION BY e.subject_kind, e.subject_id ORDER BY e.created_at DESC, e.explanation_id DESC) = 1
),
weighed AS (
    SELECT *,
           CASE WHEN fallback_reason = 'not_borne_out' THEN greatest(1 - confidence, 0.5) ELSE 1 - confidence END AS uncertainty,
           (5 - severity) / 4 AS gravity
    FROM candidates
    WHERE (review_count < 2 OR is_disagreed)
      AND ($reviewer::VARCHAR IS NULL OR NOT list_contains(raters, $reviewer::VARCHAR))
)
SELECT * EXCLUDE (uncertainty, gravity, fallback_reason),
       round(is_disagreed::INTEGER + uncertainty + gravity - 0.5 * (review_count = 1)::INTEGER, 3) AS priority,
       list_filter(
           [CASE WHEN is_disagreed THEN 'disagreed' END, CASE WHEN uncertainty >= 0.5 THEN 'uncertain' END,
            CASE WHEN severity <= 2 THEN 'severe' END, CASE WHEN review_count = 0 THEN 'unreviewed' END,
            CASE WHEN review_count = 1 THEN 'second_reviewer' END],
           lambda reason: reason IS NOT NULL) AS reasons,
       count(*) OVER () AS total
FROM weighed
ORDER BY priority DESC, created_unix_nano DESC, explanation_id
LIMIT $limit OFFSET $offset;
