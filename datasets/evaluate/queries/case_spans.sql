-- All spans of some traces in the columns of labelled incidents.
SELECT trace_id, span_id, coalesce(parent_span_id, '') AS parent_span_id, service_name, span_name, span_kind,
       status_code, attributes::JSON::VARCHAR AS attributes,
       epoch_ns(start_time) AS start_time_unix_nano, epoch_ns(start_time) + duration_ns AS end_time_unix_nano,
       $split AS split, $case_id::VARCHAR AS case_id
FROM spans
WHERE trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
ORDER BY start_time, span_id
