-- The readers of spans that all queries of detectors share.

-- Whether a span failed. SDKs record an exception as an event, and some leave the status as it was. 0.04 µs a span
-- of the table; of a hot file, whose events are one VARIANT, 0.75 of the 23 µs that all columns take there (load 21).
CREATE OR REPLACE MACRO has_failed(status_code, events) AS
status_code = 'ERROR' OR (
    status_code = 'UNSET' AND len(events) > 0
    AND list_contains(list_transform(events, lambda e: e."name"), 'exception')
);

-- The spans of some batches. operation_key names the operation in one string: dictionary-encoding it gives its code in
-- one pass. Of 5,200 spans 3.0 ms, of which the links of consumers take 0.9.
CREATE OR REPLACE MACRO landed_spans(after_batch, upto_batch) AS TABLE
SELECT
    trace_id,
    span_id,
    batch_id,
    span_kind,
    epoch_ns(start_time) AS start_unix_nano,
    duration_ns,
    has_failed(status_code, events) AS failed,
    -- Of servers only, whose 4xx is no ERROR. 0.6 µs a span of any kind, for reading attributes at all.
    CASE
        WHEN span_kind = 'SERVER' THEN coalesce(
            TRY_CAST(attributes['http.response.status_code'] AS INTEGER),
            TRY_CAST(attributes['http.status_code'] AS INTEGER)
        )
    END AS http_status,
    -- A span, and what it belongs to, each as one number: children are joined to their parents by these.
    hash(trace_id, span_id) AS span_hash,
    CASE WHEN parent_span_id IS NULL THEN 0 ELSE hash(trace_id, parent_span_id) END AS parent_hash,
    CASE
        WHEN span_kind <> 'CONSUMER' THEN 0
        WHEN len(links) > 0 THEN hash(links[1].trace_id, links[1].span_id)
        WHEN parent_span_id IS NULL THEN 0
        ELSE hash(trace_id, parent_span_id)
    END AS producer_hash,
    callee_of(span_kind, attributes) AS callee,
    service_name || chr(31) || operation_of(span_name) || chr(31) || span_kind AS operation_key,
    service_name, span_name, attributes
FROM spans
WHERE batch_id > after_batch AND batch_id <= upto_batch;

-- All spans of some traces. touched: the name of a table or CTE with trace_id, start_time and duration_ns, one row for
-- each span that the traces are chosen by. earliest, latest: bounds of the start (ns since 1970) that are known before.
-- The time bounds let DuckDB skip the row groups that no such trace reaches; in lake files it does for the latter only,
-- which are constants.
CREATE OR REPLACE MACRO whole_traces(touched, earliest, latest) AS TABLE
SELECT
    trace_id,
    span_id,
    parent_span_id,
    service_name,
    operation_of(span_name) AS operation,
    span_kind,
    epoch_ns(start_time) AS start_unix_nano,
    duration_ns,
    has_failed(status_code, events) AS failed,
    callee_of(span_kind, attributes) AS callee,
    batch_id
FROM spans
WHERE
    trace_id IN (SELECT trace_id FROM query_table(touched))
    AND start_time >= time_at(earliest) AND start_time <= time_at(latest)
    AND start_time >= (SELECT time_plus(min(start_time), -60000000000) FROM query_table(touched))
    AND start_time <= (
        SELECT time_plus(max(start_time), greatest(max(duration_ns), 0)::HUGEINT + 60000000000)
        FROM query_table(touched)
    );
