-- Whole traces of an operation since a moment, at most so many, in the shape of settled_spans.sql: what the
-- operation's new baseline is learned from. What was flagged is normal now.
WITH own AS (
    SELECT trace_id, start_time, duration_ns
    FROM spans
    WHERE
        service_name = $service AND span_name = $operation AND span_kind = $kind
        AND start_time >= time_at($since) AND start_time <= time_at($until)
        AND batch_id <= $upto
), chosen AS (
    SELECT DISTINCT trace_id FROM own ORDER BY hash(trace_id) LIMIT $most
), bounds AS (
    SELECT
        time_plus(min(start_time), -60000000000) AS earliest,
        time_plus(max(start_time), greatest(max(duration_ns), 0)::HUGEINT + 60000000000) AS latest
    FROM own
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
    s.batch_id <= $upto AS is_new,
    false AS flagged,
    false AS in_incident
FROM spans s
WHERE
    s.trace_id IN (SELECT trace_id FROM chosen)
    AND s.start_time >= (SELECT earliest FROM bounds)
    AND s.start_time <= (SELECT latest FROM bounds)
