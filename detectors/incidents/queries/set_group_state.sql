-- Every anomaly of a group (see list_anomaly_groups.sql).
UPDATE anomalies
SET state = $state, state_changed_at = make_timestamp_ns($now)
WHERE
    md5(concat_ws(chr(31), detector, service_name, operation, span_kind, coalesce(incident_id, ''))) = $group_id
    AND state <> $state
RETURNING incident_id
