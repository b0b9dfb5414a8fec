-- What has landed: the newest batch, and by which logs and metrics show that there are new ones. Batches of the
-- recent tables come from their statistics; the totals grow also with rows that are in the lake already.
SELECT
    batch_id, span_count, log_count, metric_point_count,
    (SELECT max(batch_id) FROM logs_recent) AS logs_batch_id,
    (SELECT max(batch_id) FROM metrics_recent) AS metrics_batch_id
FROM landing_position
