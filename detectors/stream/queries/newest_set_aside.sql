-- The newest batches that readers went on without, and how many there are.
SELECT reader, batch_id, epoch_ns(set_aside_at)::VARCHAR AS set_aside_unix_nano, error, count(*) OVER () AS total
FROM set_aside_batches
ORDER BY set_aside_at DESC, batch_id DESC
LIMIT 5
