-- All spans of the traces that touch some batches, with what keeps them out of the baselines.
-- `is_new` marks the spans of those batches: only they are learned, the others are their relatives,
-- which self time needs. The time bounds let DuckDB skip all older row groups.
WITH new_spans AS (
    SELECT trace_id, start_time, duration_ns FROM spans WHERE batch_id > $after AND batch_id <= $upto
), bounds AS (
    SELECT
        time_plus(min(start_time), -60000000000) AS earliest,
        time_plus(max(start_time), greatest(max(duration_ns), 0)::HUGEINT + 60000000000) AS latest
    FROM new_spans
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
    s.trace_id,
    s.span_id,
    s.parent_span_id,
    s.service_name,
    s.span_name AS operation,
    s.span_kind,
    epoch_ns(s.start_time) AS start_unix_nano,
    s.duration_ns,
    s.status_code = 'ERROR' AS failed,
    callee_of(s.span_kind, s.attributes) AS callee,
    s.batch_id > $after AND s.batch_id <= $upto AS is_new,
    s.batch_id,
    t.span_id IS NOT NULL AS flagged,
    s.trace_id IN (SELECT trace_id FROM tainted WHERE in_incident) AS in_incident
FROM spans s
LEFT JOIN tainted t ON t.trace_id = s.trace_id AND t.span_id = s.span_id
WHERE
    s.trace_id IN (SELECT trace_id FROM new_spans)
    AND s.start_time >= (SELECT earliest FROM bounds)
    AND s.start_time <= (SELECT latest FROM bounds)
