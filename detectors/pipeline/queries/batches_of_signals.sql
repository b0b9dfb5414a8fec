-- Batches after a position that hold logs or metrics.
SELECT DISTINCT batch_id FROM logs WHERE batch_id > $after AND batch_id <= $upto
UNION
SELECT DISTINCT batch_id FROM metrics WHERE batch_id > $after AND batch_id <= $upto
ORDER BY batch_id
