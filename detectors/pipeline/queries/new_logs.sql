-- Log lines of some batches, counted by batch, second and by what stays of a line when its numbers and ids are masked.
WITH lines AS (
    SELECT
        batch_id, service_name, severity_number, trace_id, span_id, epoch_ns("time") AS unix_nano,
        left(split_part(body::VARCHAR, chr(10), 1), 400) AS line
    FROM logs
    WHERE batch_id > $after AND batch_id <= $upto AND body IS NOT NULL
)
SELECT
    batch_id, service_name, severity_number,
    regexp_replace(line, '[0-9a-fA-F]{8,}(-[0-9a-fA-F]{4,})*|\d+', '*', 'g') AS masked,
    unix_nano // 1000000000 AS tick,
    count(*) AS line_count,
    any_value(line) AS example,
    max(unix_nano) AS unix_nano,
    arg_max(trace_id, unix_nano) FILTER (trace_id IS NOT NULL AND span_id IS NOT NULL) AS trace_id,
    arg_max(span_id, unix_nano) FILTER (trace_id IS NOT NULL AND span_id IS NOT NULL) AS span_id
FROM lines
GROUP BY ALL
ORDER BY tick, service_name, masked, severity_number
