-- Batches after a position, oldest first, with their size: what one pass may take.
SELECT batch_id, count(*) AS span_count
FROM spans
WHERE batch_id > $after AND batch_id <= $upto
GROUP BY batch_id
ORDER BY batch_id
