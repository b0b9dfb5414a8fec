-- One trace for people: what the tree needs, what is shown, and the anomalies on each span. Where it has more spans
-- than $limit: roots, those that failed or are anomalous, then the longest, which are those that hold the others.
SELECT
    s.trace_id, s.span_id, s.parent_span_id, s.service_name, s.span_name, operation_of(s.span_name) AS operation, s.span_kind,
    epoch_ns(s.start_time) AS start_unix_nano, s.duration_ns, s.status_code, s.status_message,
    links[1].trace_id AS linked_trace_id, links[1].span_id AS linked_span_id,
    s.attributes::JSON::VARCHAR AS attributes,
    to_json(list_transform(
        s.events,
        lambda e: {
            time_unix_nano: epoch_ns(e."time")::VARCHAR, name: e."name", attributes: e.attributes::JSON
        }
    ))::VARCHAR AS events,
    coalesce(a.anomaly_ids, []) AS anomaly_ids,
    count(*) OVER () AS span_count
FROM spans s
LEFT JOIN (
    SELECT span_id, list(anomaly_id ORDER BY anomaly_id) AS anomaly_ids
    FROM anomalies
    WHERE trace_id = $trace_id
    GROUP BY span_id
) a ON a.span_id = s.span_id
WHERE s.trace_id = $trace_id
QUALIFY
    row_number() OVER (
        ORDER BY
            (s.parent_span_id IS NULL OR s.status_code = 'ERROR' OR a.anomaly_ids IS NOT NULL) DESC,
            s.duration_ns DESC, s.start_time, s.span_id
    ) <= $limit
ORDER BY s.start_time, s.duration_ns DESC, s.span_id
