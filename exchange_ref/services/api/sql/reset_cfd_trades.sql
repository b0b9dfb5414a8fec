UPDATE cfd_trades SET status = CASE
    WHEN trade_id IN (SELECT value FROM json_each(?1)) THEN 'OPEN'
    WHEN status = 'OPEN' THEN 'CLOSED'
    ELSE 'REJECTED' END
WHERE status IN ('NEW', 'OPEN')
