DELETE FROM trace_scores WHERE anomaly_sigma < $kept_from AND scored_at < time_at($oldest)
