-- The newest batches of logs and metrics, where landing has not counted them: rows that were inserted beside it.
SELECT
    (
        SELECT max(batch_id)
        FROM (
            SELECT batch_id FROM logs_recent
            UNION ALL SELECT batch_id FROM logs_packed
            UNION ALL SELECT last_batch_id FROM hot_files WHERE signal = 'logs'
        )
    )
        AS logs_batch_id,
    (SELECT max(batch_id) FROM (SELECT batch_id FROM metrics_recent UNION ALL SELECT batch_id FROM metrics_packed))
        AS metrics_batch_id
