-- The oldest of the newest batches that together hold at most `?` spans; NULL when the newest alone holds more.
SELECT min(batch_id)
FROM (
    SELECT batch_id, sum(count(*)) OVER (ORDER BY batch_id DESC) AS spans
    FROM spans
    WHERE batch_id > {after}
    GROUP BY batch_id
)
WHERE spans <= ?
