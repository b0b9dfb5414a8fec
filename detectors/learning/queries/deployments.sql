-- What the resources of an operation's traces said of their deployment, shortly before and since a moment.
-- Callers grow slower when what they call is deployed, so whole traces are looked at.
WITH own AS (
    SELECT DISTINCT trace_id, start_time >= time_at($since) AS is_after
    FROM spans
    WHERE
        service_name = $service AND operation_of(span_name) = $operation AND span_kind = $kind
        AND start_time >= time_at($earliest) AND start_time < time_at($latest)
        AND (start_time < time_at($before) OR start_time >= time_at($since))
    QUALIFY row_number() OVER (PARTITION BY is_after ORDER BY hash(trace_id)) <= 300
)
SELECT
    s.service_name,
    o.is_after,
    list(DISTINCT s.resource_attributes['service.version']::VARCHAR) AS "service.version",
    list(DISTINCT s.resource_attributes['deployment.id']::VARCHAR) AS "deployment.id",
    list(DISTINCT s.resource_attributes['container.image.id']::VARCHAR) AS "container.image.id",
    list(DISTINCT s.resource_attributes['container.image.tags']::VARCHAR) AS "container.image.tags",
    list(DISTINCT s.resource_attributes['vcs.ref.head.revision']::VARCHAR) AS "vcs.ref.head.revision"
FROM spans s
JOIN own o ON o.trace_id = s.trace_id
WHERE s.start_time >= time_at($earliest) AND s.start_time < time_at($latest)
GROUP BY s.service_name, o.is_after
