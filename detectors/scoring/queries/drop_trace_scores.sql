-- Deletes the scores of traces that are scored again, back to $since: without an index the older row groups are
-- skipped.
DELETE FROM trace_scores
WHERE scored_at >= time_at($since) AND trace_id IN (SELECT trace_id FROM new_scores)
