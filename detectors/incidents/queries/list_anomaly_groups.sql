-- Anomalies of one operation, found by one detector, in one incident or alone: one row with a count.
-- A filter that is NULL lets everything pass. The worst of each group stands for it.
WITH chosen AS (
    SELECT
        *,
        md5(concat_ws(chr(31), detector, service_name, operation, span_kind, coalesce(incident_id, ''))) AS group_id
    FROM anomalies
    WHERE
        ($severities::INTEGER[] IS NULL OR list_contains($severities::INTEGER[], severity::INTEGER))
        AND ($service::VARCHAR IS NULL OR service_name = $service)
        AND ($detector::VARCHAR IS NULL OR detector = $detector)
        AND ($states::VARCHAR[] IS NULL OR list_contains($states::VARCHAR[], state))
        AND ($since::HUGEINT IS NULL OR detected_at >= time_at($since))
        AND (NOT $alone OR incident_id IS NULL)
        AND ($incident_id::VARCHAR IS NULL OR incident_id = $incident_id)
        AND (
            $text::VARCHAR IS NULL
            OR contains(lower(concat_ws(' ', detector, service_name, operation, details->>'text')), lower($text))
            OR trace_id = lower($text)
        )
), grouped AS (
    SELECT
        group_id,
        detector, service_name, operation, span_kind, incident_id,
        count(*) AS anomaly_count,
        count(DISTINCT trace_id) AS trace_count,
        count(*) FILTER (state = 'open') AS open_count,
        min(severity) AS severity,
        max(sigma) AS sigma,
        arg_max({
            anomaly_id: anomaly_id, trace_id: trace_id, span_id: span_id, observed: observed, expected: expected,
            unit: unit, details: details::VARCHAR
        }, sigma) AS worst,
        median(observed) AS median_observed,
        epoch_ns(min(span_start_time)) AS first_span_unix_nano,
        epoch_ns(max(span_start_time)) AS last_span_unix_nano,
        epoch_ns(max(detected_at)) AS detected_unix_nano,
        list_sort(list(DISTINCT state)) AS states
    FROM chosen
    GROUP BY ALL
)
SELECT *, count(*) OVER () AS total, sum(anomaly_count) OVER () AS anomaly_total
FROM grouped
ORDER BY
    CASE WHEN $by = 'severity' THEN severity ELSE 0 END,
    CASE WHEN $by = 'severity' THEN sigma ELSE 0 END DESC,
    detected_unix_nano DESC,
    group_id
LIMIT $limit OFFSET $offset
