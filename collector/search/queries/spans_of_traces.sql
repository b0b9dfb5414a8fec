-- All spans of the given traces, with what a search asks of each. {columns}, {values}, {joins}, {{windows}} and
-- what follows "wanted" are made of constant words and parameters.
WITH wanted AS (SELECT unnest($trace_ids::VARCHAR[]) AS trace_id){matched},
base AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY trace_id, start_time, span_id, span_kind) - 1 AS n,
        trace_id, span_id, parent_span_id, service_name, span_name, span_kind, status_code,
        epoch_ns(start_time) AS start_ns,
        duration_ns
        {columns}
    FROM spans
    WHERE trace_id IN (FROM wanted)
      AND ({{windows}})
),
-- CLIENT and SERVER may share an id (Zipkin): the SERVER is below the CLIENT, and calls are made by the SERVER.
ids AS MATERIALIZED (
    SELECT
        trace_id, span_id,
        arg_max(n, span_kind IN ('SERVER', 'CONSUMER')) AS inner_n,
        arg_min(n, span_kind IN ('SERVER', 'CONSUMER')) AS outer_n
    FROM base
    GROUP BY trace_id, span_id
),
placed AS MATERIALIZED (
    SELECT
        base.*,
        CASE
            WHEN base.n = own.inner_n AND own.inner_n <> own.outer_n THEN own.outer_n
            ELSE above.inner_n
        END AS parent_n
    FROM base
    JOIN ids AS own ON own.trace_id = base.trace_id AND own.span_id = base.span_id
    LEFT JOIN ids AS above ON above.trace_id = base.trace_id AND above.span_id = base.parent_span_id
),
trace AS MATERIALIZED (
    SELECT
        trace_id,
        arg_min(service_name, start_ns) FILTER (parent_span_id IS NULL) AS root_service_name,
        arg_min(span_name, start_ns) FILTER (parent_span_id IS NULL) AS root_name,
        (max(start_ns::HUGEINT + duration_ns) - min(start_ns))::BIGINT AS trace_duration_ns
    FROM base
    GROUP BY trace_id
)
SELECT
    span.n, span.trace_id, span.span_id, span.parent_span_id, span.service_name, span.span_name, span.span_kind,
    span.status_code, span.start_ns, span.duration_ns, span.parent_n,
    trace.root_service_name, trace.root_name, trace.trace_duration_ns
    {values}
FROM placed AS span
JOIN trace ON trace.trace_id = span.trace_id
{joins}
ORDER BY span.n
