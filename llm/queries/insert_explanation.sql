INSERT INTO explanations BY NAME
SELECT $explanation_id AS explanation_id, $subject_kind AS subject_kind, $subject_id AS subject_id,
       $subject_size AS subject_size, $group_id AS group_id, $trace_id AS trace_id,
       make_timestamp_ns($created_unix_nano) AS created_at, $source AS source, $model AS model,
       $prompt_version AS prompt_version, $summary AS summary, $root_causes::JSON AS root_causes,
       $evidence::JSON AS evidence, $recommendations::JSON AS recommendations,
       $confidence AS confidence, $notice AS notice, $context::JSON AS context;
