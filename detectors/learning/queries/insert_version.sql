INSERT OR REPLACE INTO baseline_versions BY NAME
SELECT
    $version_id AS version_id,
    time_at($adopted) AS adopted_at,
    $service_name AS service_name,
    $operation AS operation,
    $span_kind AS span_kind,
    $measure AS measure,
    $reason AS reason,
    $way AS way,
    time_at($began) AS began_at,
    $from_value::DOUBLE AS from_value,
    $to_value::DOUBLE AS to_value,
    $from_p90::DOUBLE AS from_p90,
    $to_p90::DOUBLE AS to_p90,
    $sample_count AS sample_count,
    $evidence AS evidence
