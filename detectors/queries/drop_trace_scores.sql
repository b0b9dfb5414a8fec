-- Scores of traces that are scored again. By time first, which skips all other row groups.
DELETE FROM trace_scores
WHERE
    start_time BETWEEN time_plus(time_at($earliest), -60000000000)
        AND time_plus(time_at($latest), 60000000000)
    AND trace_id IN (SELECT trace_id FROM new_scores)
