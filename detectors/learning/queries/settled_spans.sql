-- All spans of the traces that touch some batches, with what keeps them out of the baselines.
-- `is_new` marks the spans of those batches: only they are learned, the others are their relatives,
-- which self time needs. $earliest and $latest: `settled_bounds.sql`.
WITH new_spans AS (
    SELECT trace_id, start_time, duration_ns FROM spans WHERE batch_id > $after AND batch_id <= $upto
), tainted AS (
    SELECT trace_id, span_id, bool_or(incident_id IS NOT NULL) AS in_incident
    FROM (
        SELECT trace_id, span_id, incident_id FROM anomalies JOIN detector_roles USING (detector) WHERE flags_span
        UNION ALL
        SELECT trace_id, span_id, NULL FROM held_spans
    )
    GROUP BY trace_id, span_id
)
SELECT
    s.*,
    s.batch_id > $after AND s.batch_id <= $upto AS is_new,
    t.span_id IS NOT NULL AS flagged,
    s.trace_id IN (SELECT trace_id FROM tainted WHERE in_incident) AS in_incident
FROM whole_traces('new_spans', $earliest, $latest) s
LEFT JOIN tainted t ON t.trace_id = s.trace_id AND t.span_id = s.span_id
