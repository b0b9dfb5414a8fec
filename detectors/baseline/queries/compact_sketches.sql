-- The same sketches in as few rows as possible.
CREATE OR REPLACE TEMP TABLE compacted_sketches AS
SELECT
    measure, service_name, operation, span_kind, facet, hour_of_week, flagged, bucket,
    sum(sample_count)::BIGINT AS sample_count
FROM baseline_sketches
GROUP BY ALL
HAVING sum(sample_count) > 0;
DELETE FROM baseline_sketches;
INSERT INTO baseline_sketches FROM compacted_sketches;
DROP TABLE compacted_sketches
