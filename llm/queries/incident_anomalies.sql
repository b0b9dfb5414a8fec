-- The incident's anomalies to show. Where calls fail, errors come first: one slow call in ten is not what the
-- user felt. Then those of the exemplar trace, since other facts come from it; there the largest, which for
-- times is the outermost: what the user felt.
WITH own AS (
    SELECT *, count(*) FILTER (detector = 'error') OVER () * 10 >= count(*) OVER () AS fails
    FROM anomalies
    WHERE incident_id = $id
)
SELECT anomaly_id, detector, severity, sigma, trace_id, span_id, service_name, operation, span_kind,
       epoch_ns(span_start_time) AS start_unix_nano, span_duration_ns, observed, expected, unit, cell,
       sample_count, details::VARCHAR AS details, incident_id
FROM own
ORDER BY fails AND detector = 'error' DESC, trace_id = $trace_id DESC, observed DESC, span_start_time, anomaly_id
LIMIT $limit;
