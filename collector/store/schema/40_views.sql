-- What people query. Where hours are sealed to Parquet, collector/store/lake.py makes these three again, with
-- the files beside the recent rows, and no query changes.
CREATE OR REPLACE VIEW spans AS FROM spans_recent;
CREATE OR REPLACE VIEW logs AS FROM logs_recent;
CREATE OR REPLACE VIEW metrics AS FROM metrics_recent;

-- The ClickHouse exporter's names, so that existing queries and dashboards run.
CREATE OR REPLACE VIEW otel_traces AS
SELECT
    start_time AS "Timestamp",
    trace_id AS "TraceId",
    span_id AS "SpanId",
    coalesce(parent_span_id, '') AS "ParentSpanId",  -- that schema has no NULL
    trace_state AS "TraceState",
    span_name AS "SpanName",
    upper(span_kind[1]) || lower(span_kind[2:]) AS "SpanKind",  -- Server, Client, …
    service_name AS "ServiceName",
    resource_attributes AS "ResourceAttributes",
    scope_name AS "ScopeName",
    scope_version AS "ScopeVersion",
    attributes AS "SpanAttributes",
    duration_ns AS "Duration",
    CASE status_code WHEN 'OK' THEN 'Ok' WHEN 'ERROR' THEN 'Error' ELSE 'Unset' END AS "StatusCode",
    status_message AS "StatusMessage",
    list_transform(events, lambda e: e."time") AS "Events.Timestamp",
    list_transform(events, lambda e: e."name") AS "Events.Name",
    list_transform(events, lambda e: e.attributes) AS "Events.Attributes",
    list_transform(links, lambda l: l.trace_id) AS "Links.TraceId",
    list_transform(links, lambda l: l.span_id) AS "Links.SpanId",
    list_transform(links, lambda l: l.trace_state) AS "Links.TraceState",
    list_transform(links, lambda l: l.attributes) AS "Links.Attributes"
FROM spans;

-- One row a trace. A trace without its root yet shows its earliest span in the root's place.
CREATE OR REPLACE VIEW traces AS
SELECT seen.*, scored.anomaly_sigma  -- NULL until it has settled
FROM (
    SELECT
        trace_id,
        coalesce(arg_min(service_name, start_time) FILTER (parent_span_id IS NULL),
                 arg_min(service_name, start_time)) AS root_service_name,
        coalesce(arg_min(span_name, start_time) FILTER (parent_span_id IS NULL),
                 arg_min(span_name, start_time)) AS root_span_name,
        count(*) FILTER (parent_span_id IS NULL) AS root_count,  -- 0: root not landed; above 1: malformed
        min(start_time) AS start_time,
        (max(epoch_ns(start_time) + duration_ns) - min(epoch_ns(start_time)))::BIGINT AS duration_ns,
        count(*) AS span_count,
        count(*) FILTER (status_code = 'ERROR') AS error_count,
        list_sort(list_distinct(list(service_name))) AS services
    FROM spans
    GROUP BY trace_id
) seen
LEFT JOIN trace_scores scored ON scored.trace_id = seen.trace_id;

-- Who calls whom: a parent and a child of different services; the child's duration and errors.
CREATE OR REPLACE VIEW service_edges AS
SELECT
    parent.service_name AS caller,
    child.service_name AS callee,
    count(*) AS call_count,
    count(*) FILTER (child.status_code = 'ERROR') AS error_count,
    quantile_disc(child.duration_ns, 0.5)::BIGINT AS p50_ns,
    quantile_disc(child.duration_ns, 0.95)::BIGINT AS p95_ns,
    quantile_disc(child.duration_ns, 0.99)::BIGINT AS p99_ns
FROM spans AS child
JOIN spans AS parent
    ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
WHERE parent.service_name <> child.service_name
GROUP BY ALL;
