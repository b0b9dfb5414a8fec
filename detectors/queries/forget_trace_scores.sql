DELETE FROM trace_scores WHERE anomaly_sigma < $kept_from AND scored_at < make_timestamp_ns($oldest)
