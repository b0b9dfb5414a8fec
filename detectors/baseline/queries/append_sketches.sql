INSERT INTO baseline_sketches
SELECT measure, service_name, operation, span_kind, facet, hour_of_week, flagged, bucket, sample_count
FROM learned_rows
