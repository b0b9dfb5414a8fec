-- What has landed: the newest batch, and totals by which logs and metrics show that there are new ones. 0.4 ms; the
-- newest batch of each signal from its own table would take 1.1.
SELECT batch_id, span_count, log_count, metric_point_count FROM landing_position
