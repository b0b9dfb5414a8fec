-- What detection needs of the spans that landed after a position.
-- operation_key names the operation in one string: dictionary-encoding it gives its code in one pass.
SELECT
    trace_id,
    span_id,
    parent_span_id,
    service_name,
    span_name AS operation,
    span_kind,
    epoch_ns(start_time) AS start_unix_nano,
    duration_ns,
    service_name || chr(31) || span_name || chr(31) || span_kind AS operation_key
FROM spans
WHERE batch_id > $after AND batch_id <= $upto
