INSERT INTO unlearned BY NAME
SELECT
    $incident_id AS incident_id, $service AS service_name, $operation AS operation, $kind AS span_kind,
    time_at($since) AS since, $sample_count AS sample_count, make_timestamp_ns($now) AS unlearned_at
ON CONFLICT DO UPDATE SET
    since = excluded.since, sample_count = unlearned.sample_count + excluded.sample_count,
    unlearned_at = excluded.unlearned_at
